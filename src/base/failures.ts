/**
 * Failed tries to show who one is, by address or by name, each in a window that begins with the first of them. Capped, so
 * that whoever tries under many addresses cannot fill the memory: the one that tried longest ago is forgotten first.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from './clock.ts';

export type FailuresOptions = {
  readonly clock: Clock;
  readonly windowMs: number;
  /** addresses or names that are known at once */
  readonly max: number;
};

export class Failures {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #known: LRUCache<string, { count: number; readonly since: number }>;

  constructor({ clock, windowMs, max }: FailuresOptions) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#known = new LRUCache({ max });
  }

  /** One more. How many there are in the window, with it. */
  add(who: string): number {
    const now = this.#clock.mono();
    const known = this.#known.get(who);
    if (known === undefined || now - known.since > this.#windowMs) {
      this.#known.set(who, { count: 1, since: now });
      return 1;
    }
    known.count += 1;
    return known.count;
  }

  /** How many there are in the window. */
  of(who: string): number {
    const known = this.#known.get(who);
    return known === undefined || this.#clock.mono() - known.since > this.#windowMs ? 0 : known.count;
  }

  forget(who: string): void {
    this.#known.delete(who);
  }
}
