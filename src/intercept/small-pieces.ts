/**
 * Pieces of one read that are too small to be searched each by itself: a peer may send a body in chunks of one byte, and a
 * search looks at what came before as well. They are put together until the read is over, which a microtask tells.
 * Used by `scrubbed-body.ts` and `swapped-body.ts`.
 */

/** Pieces from this length on go at once. */
const LARGE_BYTES = 512;
const MOST_BYTES = 8 * 1024;

export type SmallPiecesAsk = {
  /** bytes to search; they stay good */
  readonly take: (bytes: Buffer) => void;
  /** runs what happened outside of a read, and sends what is ready then */
  readonly apart: (step: () => void) => void;
};

export class SmallPieces {
  readonly #ask: SmallPiecesAsk;
  #bytes: Buffer | null = null;
  #length = 0;
  #due = false;

  constructor(ask: SmallPiecesAsk) {
    this.#ask = ask;
  }

  feed(bytes: Buffer): void {
    if (bytes.length >= LARGE_BYTES || this.#length + bytes.length > MOST_BYTES) this.settle();
    if (bytes.length >= LARGE_BYTES) return this.#ask.take(bytes);
    this.#add(bytes);
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (this.#length > 0) this.#ask.apart(() => this.settle());
    });
  }

  /** Hands on what waits. */
  settle(): void {
    const bytes = this.#bytes?.subarray(0, this.#length);
    this.stop();
    if (bytes !== undefined && bytes.length > 0) this.#ask.take(bytes);
  }

  /** Forgets what waits. */
  stop(): void {
    this.#bytes = null;
    this.#length = 0;
  }

  #add(bytes: Buffer): void {
    const needed = this.#length + bytes.length;
    if (this.#bytes === null || needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(LARGE_BYTES, needed * 2));
      this.#bytes?.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    bytes.copy(this.#bytes, this.#length);
    this.#length = needed;
  }
}
