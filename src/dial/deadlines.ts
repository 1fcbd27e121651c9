/**
 * One timer for everything that has the same time to be done: thousands of connections are opened a second, nearly
 * all at once, and a timer for each costs more than to remember when it began. Made by `connect.ts`.
 */
import { type Listed, Roster } from '../base/roster.ts';

export type Timed = Listed & {
  /** monotonic milliseconds; set by `begin` */
  since: number;
  /** its time is over; it has been taken off the list */
  late(): void;
};

export class Deadlines {
  readonly #limitMs: number;
  readonly #waiting = new Roster<Timed>();
  /** a timer is set */
  #armed = false;

  /** `limitMs`: what each has, milliseconds. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  begin(timed: Timed): void {
    timed.since = performance.now();
    this.#waiting.add(timed);
    if (!this.#armed) this.#wake(this.#limitMs);
  }

  /** It was in time. */
  end(timed: Timed): void {
    this.#waiting.delete(timed);
  }

  #wake(afterMs: number): void {
    this.#armed = true;
    // What waits has a socket that keeps the process going; the timer alone must not.
    setTimeout(() => this.#look(), afterMs).unref();
  }

  #look(): void {
    const now = performance.now();
    const late: Timed[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const one of this.#waiting.all()) {
      const left = one.since + this.#limitMs - now;
      if (left <= 0) late.push(one);
      else next = Math.min(next, left);
    }
    // Before anyone is told: what begins because of that finds a timer, or sets one.
    this.#armed = false;
    if (next < Number.POSITIVE_INFINITY) this.#wake(next);
    for (const one of late) if (this.#waiting.delete(one)) one.late();
  }
}
