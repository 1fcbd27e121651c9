/**
 * Judges what is open again: after a reload, a revocation, and once a second for expiry. A flow whose identity
 * or verdict would now be refused, or that would now be carried in another way, loses (invariant I10).
 */
import type { LiveFlow } from '../base/live.ts';
import type { Gate } from '../base/stages.ts';
import type { Identity } from '../flow/identity.ts';
import { type Denied, denied } from '../flow/reason.ts';

export type Revoker = {
  /** the identity alone: cheap enough for every tick */
  readonly identity: (flow: LiveFlow) => Denied | null;
  /** identity and verdict: after the policy changed */
  readonly verdict: (flow: LiveFlow) => Denied | null;
};

export function createRevoker(options: {
  gate: Gate;
  stillValid: (identity: Identity, client: string) => Denied | null;
}): Revoker {
  const identity = (flow: LiveFlow): Denied | null => options.stillValid(flow.identity, flow.client);
  return {
    identity,
    verdict: (flow) => identity(flow) ?? judgeAgain(flow, options.gate),
  };
}

function judgeAgain(flow: LiveFlow, gate: Gate): Denied | null {
  const { identity, client, target, facts, treat } = flow;
  const ask = { flow: flow.id, identity, client, target };
  const permit =
    facts === null
      ? gate.connect(ask)
      : gate.request({ ...ask, scheme: treat === 'intercept' ? 'https' : 'http', facts });
  if ('kind' in permit) return permit;
  if (facts === null && permit.verdict.treat !== treat) {
    return denied(
      'rule_denied',
      'The policy changed how this host is carried; connect again.',
      permit.verdict.rule,
    );
  }
  return null;
}
