/**
 * Answers that Redis owes: they come in the order of the questions, so that of a question which nobody waits for any more is
 * still taken, and thrown away. Of one connection after the other; made by `redis-line.ts`.
 */
import type { Clock } from '../base/clock.ts';
import type { Reply } from './resp.ts';

type Asked = {
  /** monotonic milliseconds */
  readonly at: number;
  /** null: whoever asked waits no more */
  told: ((reply: Reply | Error) => void) | null;
};

/** So many may be owed; more means that it has stopped answering. */
const MAX_OWED = 20_000;

export class OwedAnswers {
  readonly #clock: Clock;
  readonly #onLate: () => void;
  #asked: Asked[] = [];

  /** `onLate`: one has not come in time. */
  constructor(clock: Clock, onLate: () => void) {
    this.#clock = clock;
    this.#onLate = onLate;
  }

  get none(): boolean {
    return this.#asked.length === 0;
  }

  get full(): boolean {
    return this.#asked.length >= MAX_OWED;
  }

  /** How long the oldest has been owed, milliseconds; 0: there is none. */
  get oldestMs(): number {
    const [oldest] = this.#asked;
    return oldest === undefined ? 0 : this.#clock.mono() - oldest.at;
  }

  /** The answer to a question that is sent now. Rejects with what Redis said against it, or after `limitMs`. */
  next(limitMs: number): Promise<Reply> {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const asked: Asked = { at: this.#clock.mono(), told: null };
    const limit = setTimeout(() => {
      // Its answer may still come, and must not be taken for another's.
      asked.told = null;
      this.#onLate();
      reject(new Error('Redis did not answer in time'));
    }, limitMs);
    asked.told = (reply) => {
      clearTimeout(limit);
      if (reply instanceof Error) reject(reply);
      else resolve(reply);
    };
    this.#asked.push(asked);
    return promise;
  }

  /** Throws when nothing was asked. */
  take(reply: Reply): void {
    const asked = this.#asked.shift();
    if (asked === undefined) throw new Error('what answers there is no Redis');
    asked.told?.(reply);
  }

  /** The connection is gone: none of them will come. */
  fail(): void {
    const asked = this.#asked;
    this.#asked = [];
    for (const { told } of asked) told?.(new Error('the connection to Redis is gone'));
  }
}
