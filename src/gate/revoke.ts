/**
 * Judges what is open again: after a reload, a revocation, and once a second for expiry. A flow whose identity
 * or verdict would now be refused, or that would now be carried in another way, loses (invariant I10).
 */
import type { LiveFlow } from '../base/live.ts';
import type { Gate } from '../base/stages.ts';
import type { Identity } from '../flow/identity.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Allow } from '../flow/verdict.ts';

const CARRIED = 'The policy changed how this host is carried; connect again.';
const NARROWED = 'The policy changed which addresses this host may have; connect again.';
const NOW_ASKS = 'The policy changed: a person has to approve this call now. Send it again.';

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
  const { identity, client, target, facts, treat, approval = null } = flow;
  const ask = { flow: flow.id, identity, client, target };
  const permit =
    facts === null
      ? gate.connect(ask)
      : gate.request({
          ...ask,
          scheme: treat === 'intercept' ? 'https' : 'http',
          facts,
          approval: approval === 'waits' ? null : approval,
        });
  if ('kind' in permit) {
    if (permit.kind === 'deny') return permit;
    return approval === 'waits' ? null : denied('approval_denied', NOW_ASKS, permit.rule);
  }
  if (facts === null && permit.verdict.treat !== treat)
    return denied('rule_denied', CARRIED, permit.verdict.rule);
  return flow.permit == null ? null : narrowed(flow.permit.verdict, permit.verdict);
}

/** What is connected to, and what was let through, was judged by the old verdict: the new one must give as much. */
function narrowed(before: Allow, now: Allow): Denied | null {
  if (before.protocol === 'any' && now.protocol === 'tls') return denied('rule_denied', CARRIED, now.rule);
  const isOpen = before.addresses.every((range) => now.addresses.includes(range));
  return isOpen ? null : denied('address_not_allowed', NARROWED, now.rule);
}
