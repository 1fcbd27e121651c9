/**
 * The store of one process: maps and arithmetic, every answer before the call returns. Made by `shares.ts`; what
 * it knows is lost with the process. Windows keep the end that they began with, by the monotonic clock: setting
 * the wall clock neither gives a budget back nor makes a window last longer.
 */
import type { Clock } from '../base/clock.ts';
import { drained, waitMs, windowLeftMs } from '../policy/limit.ts';
import type { Rate } from '../policy/units.ts';
import type { BudgetAsk, HoldAsk, RateAsk, StateStore } from './store.ts';

/** Of each kind. Policies name the groups, so only an absurd number of them reaches it. */
const MAX_KEYS = 65_536;
/** What a caller is told to wait when there is no room for its key. */
const FULL_WAIT_MS = 1_000;

/** `at`, `endsAt`: monotonic milliseconds. */
type Bucket = { used: number; at: number; rate: Rate };
type Window = { used: number; endsAt: number; perMs: number };

export class MemoryStore implements StateStore {
  readonly #clock: Clock;
  readonly #maxKeys: number;
  readonly #buckets = new Map<string, Bucket>();
  readonly #windows = new Map<string, Window>();
  readonly #held = new Map<string, number>();

  constructor(clock: Clock, maxKeys: number = MAX_KEYS) {
    this.#clock = clock;
    this.#maxKeys = maxKeys;
  }

  take({ key, rate, amount }: RateAsk, told: (waitMs: number, used: number) => void): void {
    const now = this.#clock.mono();
    const bucket = this.#buckets.get(key) ?? this.#newBucket(key, rate, now);
    if (bucket === null) return told(FULL_WAIT_MS, 0);
    const used = drained(bucket.used, now - bucket.at, bucket.rate);
    bucket.used = Math.min(used, rate.amount);
    bucket.at = now;
    bucket.rate = rate;
    const wait = waitMs(bucket.used, amount, rate);
    if (wait === 0) bucket.used += amount;
    return told(wait, bucket.used);
  }

  spend({ key, budget, amount }: BudgetAsk, told: (left: number, windowMs: number) => void): void {
    const now = this.#clock.mono();
    let window = this.#windows.get(key);
    if (window === undefined || now >= window.endsAt || window.perMs !== budget.perMs) {
      if (window === undefined && !this.#hasRoom(this.#windows, now)) return told(0, FULL_WAIT_MS);
      const endsAt = now + windowLeftMs(this.#clock.now(), budget.perMs);
      window = { used: 0, endsAt, perMs: budget.perMs };
      this.#windows.set(key, window);
    }
    window.used += amount;
    return told(budget.amount - window.used, window.endsAt - now);
  }

  hold({ key, max }: HoldAsk, told: (held: boolean, open: number) => void): void {
    const open = this.#held.get(key);
    if (open === undefined && !this.#hasRoom(this.#held, this.#clock.mono())) return told(false, 0);
    const before = open ?? 0;
    if (before >= max) return told(false, before);
    this.#held.set(key, before + 1);
    return told(true, before + 1);
  }

  release(key: string): void {
    const open = this.#held.get(key) ?? 0;
    if (open > 1) this.#held.set(key, open - 1);
    else this.#held.delete(key);
  }

  #newBucket(key: string, rate: Rate, now: number): Bucket | null {
    if (!this.#hasRoom(this.#buckets, now)) return null;
    const bucket = { used: 0, at: now, rate };
    this.#buckets.set(key, bucket);
    return bucket;
  }

  /** Room for one more key, once those that say nothing any more are gone. */
  #hasRoom(map: ReadonlyMap<string, unknown>, now: number): boolean {
    if (map.size < this.#maxKeys) return true;
    for (const [key, { used, at, rate }] of this.#buckets) {
      if (drained(used, now - at, rate) === 0) this.#buckets.delete(key);
    }
    for (const [key, { endsAt }] of this.#windows) if (now >= endsAt) this.#windows.delete(key);
    return map.size < this.#maxKeys;
  }
}
