/**
 * The store of one worker: what limits count stands with the supervising process, which all workers ask. Without an
 * answer in time the worker answers from a store of its own, by its part of the limit (duties: `state/store.ts`).
 */
import type { Clock } from '../base/clock.ts';
import { MemoryStore } from '../state/memory.ts';
import type { BudgetAsk, HoldAsk, RateAsk, StateStore } from '../state/store.ts';
import type { Counted } from './messages.ts';

type Question =
  | { readonly kind: 'take'; readonly ask: RateAsk }
  | { readonly kind: 'spend'; readonly ask: BudgetAsk }
  | { readonly kind: 'hold'; readonly ask: HoldAsk };

export type RemoteStoreOptions = {
  readonly tell: (message: Counted) => void;
  /** how many share the limits */
  readonly workers: number;
  readonly clock: Clock;
};

/** What `told` must not be kept longer than. */
const ANSWER_MS = 250;
/** So many at once wait for a supervising process that does not answer, or are remembered after that. */
const MAX_WAITING = 20_000;

type Waiting = {
  /** monotonic milliseconds */
  readonly until: number;
  readonly told: (first: number | boolean, second: number) => void;
  readonly late: () => void;
};

export class RemoteStore implements StateStore {
  readonly #opts: RemoteStoreOptions;
  readonly #own: MemoryStore;
  /** in the order of their deadlines, which are all as far off */
  readonly #waiting = new Map<number, Waiting>();
  /** keys of places that are held in the store of our own, and how many */
  readonly #heldHere = new Map<string, number>();
  /** holds that nobody waits for any more: a place that comes late goes back */
  readonly #given = new Map<number, string>();
  #last = 0;
  /** a look at the deadlines is due */
  #timed = false;

  constructor(opts: RemoteStoreOptions) {
    this.#opts = opts;
    this.#own = new MemoryStore(opts.clock);
  }

  take(ask: RateAsk, told: (waitMs: number, used: number) => void): void {
    this.#ask(
      { kind: 'take', ask },
      (wait, used) => told(Number(wait), used),
      () => this.#own.take({ ...ask, rate: { ...ask.rate, amount: this.#part(ask.rate.amount) } }, told),
    );
  }

  spend(ask: BudgetAsk, told: (left: number, windowMs: number) => void): void {
    this.#ask(
      { kind: 'spend', ask },
      (left, windowMs) => told(Number(left), windowMs),
      () =>
        this.#own.spend({ ...ask, budget: { ...ask.budget, amount: this.#part(ask.budget.amount) } }, told),
    );
  }

  hold(ask: HoldAsk, told: (held: boolean, open: number) => void): void {
    this.#ask(
      { kind: 'hold', ask },
      (held, open) => told(held === true, open),
      () =>
        this.#own.hold({ ...ask, max: this.#part(ask.max) }, (held, open) => {
          if (held) this.#heldHere.set(ask.key, (this.#heldHere.get(ask.key) ?? 0) + 1);
          told(held, open);
        }),
    );
  }

  release(key: string): void {
    const here = this.#heldHere.get(key) ?? 0;
    if (here === 0) return this.#opts.tell({ kind: 'release', key });
    if (here === 1) this.#heldHere.delete(key);
    else this.#heldHere.set(key, here - 1);
    return this.#own.release(key);
  }

  /** What the supervising process answered to question `id`. */
  answer(id: number, first: number | boolean, second: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) {
      this.#waiting.delete(id);
      return waiting.told(first, second);
    }
    const key = this.#given.get(id);
    this.#given.delete(id);
    if (key !== undefined && first === true) this.#opts.tell({ kind: 'release', key });
    return undefined;
  }

  #part(limit: number): number {
    return Math.max(1, Math.floor(limit / this.#opts.workers));
  }

  #ask(question: Question, told: Waiting['told'], late: () => void): void {
    // A hold is asked for only while it could be remembered: nobody would give back a place that comes late.
    const remembered = question.kind === 'hold' ? this.#given.size : 0;
    if (this.#waiting.size + remembered >= MAX_WAITING) return late();
    this.#last += 1;
    const id = this.#last;
    const given = (): void => {
      if (question.kind === 'hold') this.#given.set(id, question.ask.key);
      late();
    };
    this.#waiting.set(id, { until: this.#opts.clock.mono() + ANSWER_MS, told, late: given });
    if (!this.#timed) this.#lookIn(ANSWER_MS);
    return this.#opts.tell({ ...question, id });
  }

  #lookIn(ms: number): void {
    this.#timed = true;
    setTimeout(() => this.#expire(), ms).unref();
  }

  #expire(): void {
    this.#timed = false;
    const now = this.#opts.clock.mono();
    for (const [id, { until, late }] of this.#waiting) {
      if (until > now) return this.#lookIn(Math.ceil(until - now));
      this.#waiting.delete(id);
      late();
    }
  }
}
