/** A question to `policy/explain.ts` as people put it: who asks by name, token or address, and a URL. Pure. */
import type { ExplainAsk, ExplainDone } from '../base/control.ts';
import { canonicalAddress } from '../policy/address-text.ts';
import { type Explanation, explain } from '../policy/explain.ts';
import { parseRequest } from './request-url.ts';
import type { Snapshot } from './snapshot.ts';

/** `groupOfToken`: of an issued token, null where there is none of that id. */
export function explainAsked(
  { set, sources }: Pick<Snapshot, 'set' | 'sources'>,
  ask: ExplainAsk,
  groupOfToken: (id: string) => string | null,
): ExplainDone {
  const request = parseRequest(ask.method, ask.url);
  if ('problem' in request) return request;
  const { group, identity, from } = ask;
  if ([group, identity, from].filter((one) => one !== undefined).length !== 1) {
    return { problem: 'say who asks by one of group, identity and from' };
  }
  if (from !== undefined && canonicalAddress(from) === null) return { problem: 'from is no IP address' };
  const asker =
    group ?? (identity === undefined ? sources.lookup(from ?? '') : groupOf(identity, groupOfToken));
  if (asker === null && from !== undefined) return { group: null, explanation: UNIDENTIFIED };
  if (asker === null) return { problem: 'there is no such identity' };
  if (!set.groups.has(asker)) return { problem: 'there is no such group' };
  return { group: asker, explanation: explain(set, { group: asker, ...request }) };
}

function groupOf(identity: string, groupOfToken: (id: string) => string | null): string | null {
  return identity.startsWith('group:') ? identity.slice('group:'.length) : groupOfToken(identity);
}

/** Of an address that is in no group. */
export const UNIDENTIFIED: Explanation = {
  verdict: 'deny',
  reason: 'auth_required',
  detail: 'This address identifies no group: a token is needed.',
  stage: 'connect',
  rule: null,
  treat: null,
  keys: [],
  aws: [],
  told: 'on_connect',
  limits: {},
  rules: [],
};
