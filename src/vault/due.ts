/**
 * When a cached fetch is due: after the time that its last answer serves, earlier where its values seem outdated, or at
 * once. Knows only times; `unit.ts` asks it and fetches.
 */
import type { Clock } from '../base/clock.ts';

const MAX_DOUBLINGS = 10;

export class Due {
  readonly #clock: Clock;
  /** `ms` from one fetch to the first that `soon` brings about */
  readonly #soonMs: number;
  /** both monotonic milliseconds */
  #startedAt = Number.NEGATIVE_INFINITY;
  #dueAt = Number.NEGATIVE_INFINITY;
  /** fetches in a row that `soon` brought about */
  #early = 0;
  #hurried = false;
  #running = false;
  /** `atOnce` was called during the fetch */
  #stillDue = false;

  constructor(clock: Clock, soonMs: number) {
    this.#clock = clock;
    this.#soonMs = soonMs;
  }

  get isDue(): boolean {
    return this.#clock.mono() >= this.#dueAt;
  }

  /** The values seem outdated: due `soonMs` after the last fetch began, and twice as long after each further one. */
  soon(): void {
    // Values that are refused though they are new are not outdated: hence the doubling.
    const wait = this.#soonMs * 2 ** Math.min(this.#early, MAX_DOUBLINGS);
    if (this.#startedAt + wait >= this.#dueAt) return;
    this.#dueAt = this.#startedAt + wait;
    this.#hurried = true;
  }

  /** The last answer lacks what is asked for now: due at once, unless one under way brings it. */
  lacking(): void {
    this.#dueAt = Number.NEGATIVE_INFINITY;
  }

  /** Due now, and again after the fetch under way, which may bring what was there before. */
  atOnce(): void {
    this.#hurried = false;
    this.#dueAt = this.#clock.mono();
    this.#stillDue = this.#running;
  }

  /** A fetch begins. */
  begin(): void {
    this.#startedAt = this.#clock.mono();
    this.#early = this.#hurried ? this.#early + 1 : 0;
    this.#hurried = false;
    this.#stillDue = false;
    this.#running = true;
  }

  /** The fetch has ended, well or not: the next one is due in `inMs`. */
  ended(inMs: number): void {
    this.#running = false;
    this.#dueAt = this.#clock.mono() + (this.#stillDue ? 0 : inMs);
  }
}
