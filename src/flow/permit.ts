/**
 * The only ticket to dial. `gate/gate.ts` is the one place that makes one (the brand keeps look-alikes
 * from compiling, `test/invariants/i1-*.test.ts` keeps the cast unique); every function of `dial/`
 * asks for one.
 */
import type { Identity } from './identity.ts';
import type { Target } from './target.ts';
import type { Allow } from './verdict.ts';

declare const permitBrand: unique symbol;

export type Permit = {
  readonly flow: string;
  readonly identity: Identity;
  readonly target: Target;
  readonly verdict: Allow;
  /** id of the Snapshot that decided: pools never outlive it */
  readonly snapshotId: string;
  readonly [permitBrand]: true;
};
