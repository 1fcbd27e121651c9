/**
 * The numbers behind limits, kept in Redis for all replicas. Without an answer in time this replica answers by itself:
 * from a store of its own that grants it its part of the limit (limit / replicas seen last, at least two of them).
 * Places are told to Redis as this replica's own number, so that a lost answer or an emptied Redis heals by itself.
 */
import type { Clock } from '../base/clock.ts';
import { MemoryStore } from './memory.ts';
import type { RedisLine } from './redis-line.ts';
import { HOLD, PLACES, SPEND, TAKE } from './redis-scripts.ts';
import type { BudgetAsk, HoldAsk, RateAsk, StateStore } from './store.ts';

export type RedisStoreOptions = {
  readonly line: Pick<RedisLine, 'open' | 'run'>;
  readonly clock: Clock;
  /** what all keys begin with */
  readonly prefix: string;
  /** of this replica */
  readonly id: string;
  /** seen last, this one among them */
  readonly replicas: () => number;
};

/** Nobody has seen how many are behind a Redis that is away: one alone does not get the whole. */
const LEAST_REPLICAS = 2;

export class RedisStore implements StateStore {
  readonly #opts: RedisStoreOptions;
  readonly #own: MemoryStore;
  /** places of this replica, those that are being asked for among them */
  readonly #held = new Map<string, number>();

  constructor(opts: RedisStoreOptions) {
    this.#opts = opts;
    this.#own = new MemoryStore(opts.clock);
  }

  take({ key, rate, amount }: RateAsk, told: (waitMs: number, used: number) => void): void {
    const alone = (): void =>
      this.#own.take({ key, rate: { ...rate, amount: this.#part(rate.amount) }, amount }, told);
    this.#ask(TAKE, [this.#key('rate', key)], [rate.amount, rate.perMs, amount], alone, (wait, used) =>
      told(wait < 0 ? Number.POSITIVE_INFINITY : wait, used),
    );
  }

  spend({ key, budget, amount }: BudgetAsk, told: (left: number, windowMs: number) => void): void {
    const alone = (): void =>
      this.#own.spend({ key, budget: { ...budget, amount: this.#part(budget.amount) }, amount }, told);
    this.#ask(SPEND, [this.#key('budget', key)], [budget.amount, budget.perMs, amount], alone, told);
  }

  hold({ key, max }: HoldAsk, told: (held: boolean, open: number) => void): void {
    const mine = (this.#held.get(key) ?? 0) + 1;
    this.#held.set(key, mine);
    const refused = (open: number): void => {
      this.#drop(key);
      told(false, open);
    };
    const alone = (): void => {
      const open = this.#held.get(key) ?? 0;
      return open > this.#part(max) ? refused(open - 1) : told(true, open);
    };
    const keys = [this.#key('places', key), this.#key('alive')];
    const args = [this.#opts.id, mine, Math.min(max, Number.MAX_SAFE_INTEGER)];
    this.#ask(HOLD, keys, args, alone, (held, open) => (held === 1 ? told(true, open) : refused(open)));
  }

  release(key: string): void {
    this.#drop(key);
    this.#tellPlaces(key);
  }

  /** Says again what this replica holds: Redis may have forgotten, or an answer have been lost. */
  refresh(): void {
    for (const key of this.#held.keys()) this.#tellPlaces(key);
  }

  #drop(key: string): void {
    const left = (this.#held.get(key) ?? 0) - 1;
    if (left > 0) this.#held.set(key, left);
    else this.#held.delete(key);
  }

  #tellPlaces(key: string): void {
    const { line, id } = this.#opts;
    if (!line.open()) return;
    // What is not heard now is said again by `refresh`.
    line.run(PLACES, [this.#key('places', key)], [id, this.#held.get(key) ?? 0]).catch(() => {});
  }

  #part(limit: number): number {
    return Math.max(1, Math.floor(limit / Math.max(LEAST_REPLICAS, this.#opts.replicas())));
  }

  #key(...words: readonly string[]): string {
    return [this.#opts.prefix, ...words].join(':');
  }

  /** `alone` answers where Redis does not, or says what is no answer. */
  #ask(
    script: string,
    keys: readonly string[],
    args: readonly (string | number)[],
    alone: () => void,
    told: (first: number, second: number) => void,
  ): void {
    const { line } = this.#opts;
    if (!line.open()) return alone();
    void line
      .run(script, keys, args)
      .then(twoNumbers, () => null)
      .then((numbers) => (numbers === null ? alone() : told(...numbers)));
    return undefined;
  }
}

function twoNumbers(reply: unknown): [number, number] | null {
  if (!Array.isArray(reply) || reply.length !== 2) return null;
  const [first, second] = reply.map(Number);
  if (first === undefined || second === undefined) return null;
  return Number.isFinite(first) && Number.isFinite(second) ? [first, second] : null;
}
