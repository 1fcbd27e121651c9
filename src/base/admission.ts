/**
 * What a group uses of its limits, as the stages that carry its traffic see it. `gate/limits.ts` implements it;
 * the types stand here because stages do not import stages.
 */
import { type Denied, denied } from '../flow/reason.ts';
import type { Allow } from '../flow/verdict.ts';
import type { Seat } from './seats.ts';

/**
 * Called once, during the call or later. `why`: null, or the limit that stands in the way. `lifted`: the group is in
 * monitor mode, so it goes on all the same and is recorded as `would_deny`.
 */
export type Told = (why: Denied | null, lifted: boolean) => void;

export type GroupUse = {
  /** false: `admit` without a seat would say yes */
  readonly limited: boolean;
  /**
   * `seat`: of the client's connection, where that becomes this group's with what is asked; null where it is its
   * already. `request`: an HTTP request or a tunnel, which counts as one; an intercepted CONNECT does not.
   */
  admit(ask: { readonly seat: Seat | null; readonly request: boolean }, told: Told): void;
  /** Counts bytes from the sandbox before they are passed on. False: they must not be, the budget is used up. */
  up(bytes: number): boolean;
  /** Counts bytes to the sandbox before they are passed on. False: they must not be, the budget is used up. */
  down(bytes: number): boolean;
};

export type Limits = {
  /** The use of one group; the same object for as long as the group is in the policy. */
  readonly of: (group: string) => GroupUse;
};

/** What a group has and uses; null: no such limit. */
export type LimitsView = {
  readonly connections: { readonly limit: number; readonly used: number } | null;
  readonly requests: { readonly limit: string; readonly used: number } | null;
  readonly upload: { readonly limit: string; readonly used: number } | null;
  readonly download: { readonly limit: string; readonly used: number } | null;
};

/** Why a flow under way is cut by its group's budget. */
export const SPENT: Denied = denied('budget_spent');

/** The verdict as it is recorded when a limit was lifted: what the policy itself would refuse is told first. */
export function withLifted(verdict: Allow, lifted: Denied | null): Allow {
  return lifted === null || verdict.wouldDeny !== undefined
    ? verdict
    : { ...verdict, wouldDeny: lifted.reason };
}
