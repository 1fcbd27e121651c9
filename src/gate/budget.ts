/**
 * Bytes of one group in one direction, counted against its budget. Flows count here before they pass bytes on;
 * the store hears of it in steps, so a budget is overdrawn by at most a step in each process (and
 * by what moves until a store that answers later has answered).
 */
import type { Clock } from '../base/clock.ts';
import type { Rate } from '../policy/units.ts';
import type { StateStore } from '../state/store.ts';

const MAX_STEP_BYTES = 64 * 1024;
/** Steps that a small budget has at least. */
const MIN_STEPS = 64;

export class ByteBudget {
  readonly #store: StateStore;
  readonly #clock: Clock;
  readonly #key: string;
  #budget: Rate | null = null;
  #step = 0;
  #pending = 0;
  #left = 0;
  /** monotonic milliseconds */
  #windowEnds = 0;

  constructor(store: StateStore, clock: Clock, key: string) {
    this.#store = store;
    this.#clock = clock;
    this.#key = key;
  }

  /** The budget from now on; `null`: none. */
  adopt(budget: Rate | null): void {
    const before = this.#budget;
    this.#budget = budget;
    if (budget === null || (before?.amount === budget.amount && before.perMs === budget.perMs)) return;
    // Until the store has said more, a budget that nobody has asked for is whole.
    if (before === null) this.#left = budget.amount;
    this.#step = Math.max(1, Math.min(MAX_STEP_BYTES, Math.floor(budget.amount / MIN_STEPS)));
    this.#report(budget);
  }

  /** False: these bytes are beyond the budget. */
  count(bytes: number): boolean {
    if (this.#budget === null) return true;
    this.#pending += bytes;
    if (this.#pending >= this.#step) this.#report(this.#budget);
    if (this.#left >= 0) return true;
    if (this.#isOver()) this.#report(this.#budget);
    return this.#left >= 0;
  }

  /** When a spent budget begins anew, milliseconds from now; null: something is left. */
  spentFor(): number | null {
    if (this.#budget === null) return null;
    if (this.#pending > 0 || (this.#left <= 0 && this.#isOver())) this.#report(this.#budget);
    return this.#left <= 0 ? Math.max(1, this.#windowEnds - this.#clock.mono()) : null;
  }

  /** Bytes of this window, as far as the store has told. */
  used(): number {
    if (this.#budget === null || this.#isOver()) return this.#pending;
    return this.#budget.amount - this.#left + this.#pending;
  }

  /** The window in which the store has spoken last is over. */
  #isOver(): boolean {
    return this.#clock.mono() >= this.#windowEnds;
  }

  #report(budget: Rate): void {
    const amount = this.#pending;
    this.#pending = 0;
    this.#store.spend({ key: this.#key, budget, amount }, this.#told);
  }

  readonly #told = (left: number, windowMs: number): void => {
    this.#left = left;
    this.#windowEnds = this.#clock.mono() + windowMs;
  };
}
