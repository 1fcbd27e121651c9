/**
 * Calls that answer with credentials: whoever may make them holds a real key a moment later, so a sandbox may not. All
 * other calls are left to the policy's paths and to what IAM lets the set do. Asked by `resign.ts`.
 */
import { type Denied, denied } from '../flow/reason.ts';
import type { Claim, SignedParts } from './claim.ts';
import { pairsOf } from './fields.ts';

/** Those of AWS STS that hand nothing out. */
const HARMLESS = new Set(['GetCallerIdentity', 'GetAccessKeyInfo', 'DecodeAuthorizationMessage']);

/** Is the body to be looked at before such a call can be judged? */
export function judgesBody(claim: Claim): boolean {
  return claim.scope.service === 'sts';
}

/** @param body latin-1 */
export function handsOutKeys(claim: Claim, parts: SignedParts, body: string): Denied | null {
  const { service } = claim.scope;
  if (service === 's3express') return refusal('S3 Express answers CreateSession');
  if (service !== 'sts') return null;
  const actions = [...parts.pairs, ...pairsOf(body.replaceAll('+', ' '))]
    .filter(({ name }) => name.toLowerCase() === 'action')
    .map(({ value }) => value);
  const harmless = actions.length > 0 && actions.every((action) => HARMLESS.has(action));
  return harmless ? null : refusal('STS answers AssumeRole, GetSessionToken and their like');
}

function refusal(what: string): Denied {
  return denied(
    'placeholder_wrong_place',
    `${what} with credentials that would stay in the sandbox: assume the role outside and give its set to the proxy.`,
  );
}
