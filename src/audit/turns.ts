/**
 * When a batch is written: in the turn of the event loop that its first record came in, or a little later where
 * that pays. Used by `writer.ts` alone. Alone, a record is written at once; under load one write, and one warm
 * run of the hash, serve many.
 */

/** Turns that a batch may gather records. */
const MAX_TURNS = 3;
/** Fewer records than this are one client's, and wait for nobody. */
const WORTH_WAITING = 4;

export class Turns {
  readonly #waiting: () => number;
  readonly #flush: () => void;
  #scheduled = false;

  /** `waiting`: records that wait now; `flush` writes them. */
  constructor(waiting: () => number, flush: () => void) {
    this.#waiting = waiting;
    this.#flush = flush;
  }

  /** Something waits: `flush` is called soon, once. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#next(this.#waiting(), 1);
  }

  #next(before: number, turn: number): void {
    setImmediate(() => {
      const now = this.#waiting();
      if (turn < MAX_TURNS && now > before && now >= WORTH_WAITING) return this.#next(now, turn + 1);
      this.#scheduled = false;
      this.#flush();
    });
  }
}
