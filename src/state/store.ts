/**
 * Where the numbers behind limits are kept. `memory.ts` keeps them in this process and answers before the call
 * returns; a store that several processes share answers later. The duties of every implementation:
 *
 * - `told` is called exactly once, during the call or after it, and must not be kept longer than 250 ms. A store
 *   that has no answer by then gives one of its own: from a `MemoryStore` that grants this process its part of the
 *   limit (limit / processes, rounded down, at least 1). So a lost supervisor or Redis neither stops groups nor lifts their
 *   limits: in all, processes grant at most the limit once more.
 * - It never throws, and never calls `told` with an error: what cannot be counted is refused.
 * - Numbers are kept under `key` when the limit that comes with the call changes (a policy was reloaded): what was
 *   used stays used, and is measured by the new limit from then on.
 * - Keys are made of group names, which policies bound; still a store has a cap on them, and refuses beyond it.
 * - Time is the store's own clock, so that processes with different ones cannot disagree.
 */
import type { Rate } from '../policy/units.ts';

export type StateStore = {
  /**
   * Takes `amount` of a rate, whole or not at all. `told`: 0 when taken, else after how many milliseconds it would
   * be (Infinity: never); and how much stands as used now.
   */
  take(ask: RateAsk, told: (waitMs: number, used: number) => void): void;
  /**
   * Books `amount` bytes that have already moved (0 only asks). `told`: how much of the window's budget is left, 0
   * or less when it is used up; and in how many milliseconds the next window begins.
   */
  spend(ask: BudgetAsk, told: (left: number, windowMs: number) => void): void;
  /**
   * Takes one of `max` places. `told(true)`: it is held until `release`, which the caller owes exactly once, also
   * when it has lost its interest meanwhile. `told(false)`: all are taken. `open`: how many are held now.
   * A shared store gives back the places of a process that died.
   */
  hold(ask: HoldAsk, told: (held: boolean, open: number) => void): void;
  /** Gives one place back. */
  release(key: string): void;
};

export type RateAsk = { readonly key: string; readonly rate: Rate; readonly amount: number };
export type BudgetAsk = { readonly key: string; readonly budget: Rate; readonly amount: number };
export type HoldAsk = { readonly key: string; readonly max: number };
