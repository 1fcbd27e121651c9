/**
 * What a person decided about a held request. An Approval is made by `gate/approvals.ts` alone, for one request that it
 * let go, and honoured by `gate/gate.ts` for that request alone (invariant I8: it never lifts a refusal of the policy).
 */
import type { Identity } from './identity.ts';
import type { Target } from './target.ts';
import type { Facts } from './verdict.ts';

declare const approvalBrand: unique symbol;

/** Who decided, for records. */
export type Ruling = {
  /** of the held entry */
  readonly id: string;
  /** name of the operator */
  readonly by: string;
};

export type Approval = Ruling & {
  readonly of: HeldAsk;
  readonly [approvalBrand]: true;
};

/** The request that was held, as the gate judged it. */
export type HeldAsk = {
  readonly identity: Identity;
  readonly target: Target;
  readonly scheme: 'https' | 'http';
  readonly facts: Facts;
};

/** Is it the very request that was approved? */
export function approves(approval: Approval, ask: HeldAsk): boolean {
  const { identity, target, scheme, facts } = approval.of;
  return (
    identity.id === ask.identity.id &&
    identity.group === ask.identity.group &&
    target.host === ask.target.host &&
    target.port === ask.target.port &&
    scheme === ask.scheme &&
    facts.method === ask.facts.method &&
    facts.path === ask.facts.path &&
    facts.protocol === ask.facts.protocol
  );
}
