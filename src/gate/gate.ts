/**
 * Verdict -> Permit. The only place where a Permit is made (invariant I1): whatever dials has passed here.
 * The policy decides (`policy/decide.ts`); the gate adds what is not in its files: lockdown first of all, and
 * is a policy loaded.
 */
import type { Gate } from '../base/stages.ts';
import type { Snapshot } from '../config/snapshot.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Target } from '../flow/target.ts';
import type { Verdict } from '../flow/verdict.ts';
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
  return {
    connect: ({ flow, identity, target }) =>
      judge((snapshot) => decideConnect(snapshot.set, identity.group, target), flow, identity, target),
    request: ({ flow, identity, target, scheme, facts }) =>
      judge(
        (snapshot) =>
          unsealed(decideRequest(snapshot.set, identity.group, target, { scheme, facts }), scheme),
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

function mint(
  verdict: Verdict,
  ticket: { flow: string; identity: Identity; target: Target; snapshotId: string },
): Permit | Denied {
  switch (verdict.kind) {
    case 'deny':
      return verdict;
    case 'ask':
      // Nobody can be asked yet, and silence is not a yes.
      return denied(
        'approval_denied',
        'This call needs a person to approve it; nobody can be asked.',
        verdict.rule,
      );
    case 'allow':
      return { ...ticket, verdict } as Permit;
  }
}
