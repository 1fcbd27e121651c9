/**
 * Verdict -> Permit. The only place where a Permit is made (invariant I1): whatever dials has passed here.
 * The policy decides (`policy/decide.ts`); the gate adds what is not in its files: lockdown first of all, is a policy
 * loaded, and has a person said yes to this very request (invariant I8: that makes a Permit of an `ask` alone).
 */
import type { Gate } from '../base/stages.ts';
import type { Snapshot } from '../config/snapshot.ts';
import { type Approval, approves } from '../flow/approval.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Target } from '../flow/target.ts';
import type { Ask, Verdict } from '../flow/verdict.ts';
import { decideConnect, decideRequest, hostLabel } from '../policy/decide.ts';

export type GateOptions = {
  /** the policy in force; `null` before the first good one */
  readonly snapshot: () => Snapshot | null;
  /** the refusal of a group that is locked down */
  readonly lockdown: (group: string) => Denied | null;
};

const NOT_READY = denied(
  'not_ready',
  'No policy is loaded. The operator finds the reason in the log of the proxy.',
);

/** Makes the gate. Its functions never throw for any input; a refusal is a value. */
export function createGate(options: GateOptions): Gate {
  const judge = (
    decide: (snapshot: Snapshot) => Verdict,
    flow: string,
    identity: Identity,
    target: Target,
  ) => {
    const locked = options.lockdown(identity.group);
    if (locked !== null) return locked;
    const snapshot = options.snapshot();
    if (snapshot === null) return NOT_READY;
    return mint(decide(snapshot), { flow, identity, target, snapshotId: snapshot.id });
  };
  const connection = (judged: Permit | Ask | Denied): Permit | Denied => {
    if (!('kind' in judged) || judged.kind === 'deny') return judged;
    // A person is asked about requests, and the policy never says otherwise.
    return denied('approval_denied', 'A connection by itself cannot be approved.', judged.rule);
  };
  return {
    connect: ({ flow, identity, target }) =>
      connection(
        judge((snapshot) => decideConnect(snapshot.set, identity.group, target), flow, identity, target),
      ),
    request: ({ flow, identity, target, scheme, facts, approval = null }) =>
      judge(
        (snapshot) =>
          approved(
            unsealed(decideRequest(snapshot.set, identity.group, target, { scheme, facts }), scheme),
            approval !== null && approves(approval, { identity, target, scheme, facts }) ? approval : null,
          ),
        flow,
        identity,
        target,
      ),
    label: (group, at) => {
      const snapshot = options.snapshot();
      return snapshot === null ? null : hostLabel(snapshot.set, group, at);
    },
  };
}

/** `tls: tunnel` is a promise that nobody here reads what goes there: a request that we would have to read breaks it. */
function unsealed(verdict: Verdict, scheme: 'https' | 'http'): Verdict {
  if (verdict.kind !== 'allow' || verdict.sealed !== true || scheme !== 'https') return verdict;
  const words = 'The rule of this host says `tls: tunnel`: open a CONNECT to it.';
  return denied('rule_denied', words, verdict.rule);
}

function approved(verdict: Verdict, approval: Approval | null): Verdict {
  return verdict.kind === 'ask' && approval !== null ? { ...verdict.then, approval } : verdict;
}

function mint(
  verdict: Verdict,
  ticket: { flow: string; identity: Identity; target: Target; snapshotId: string },
): Permit | Ask | Denied {
  if (verdict.kind !== 'allow') return verdict;
  const { flow, identity, target, snapshotId } = ticket;
  return { flow, identity, target, snapshotId, verdict } as Permit;
}
