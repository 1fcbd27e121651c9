/**
 * A short body whose length is known, kept until it is whole: in one buffer, for a peer may send it byte by byte.
 * Used by `scrubbed-body.ts` and `swapped-body.ts`; the room for it was asked for.
 */
export class WholeBody {
  readonly #length: number;
  #bytes: Buffer | null = null;
  #filled = 0;

  /** @param length as the head says; no more is fed */
  constructor(length: number) {
    this.#length = length;
  }

  /** Is this piece all of it. */
  isAll(bytes: Buffer): boolean {
    return bytes.length === this.#length;
  }

  /** Takes a copy. */
  add(bytes: Buffer): void {
    this.#bytes ??= Buffer.allocUnsafe(this.#length);
    this.#filled += bytes.copy(this.#bytes, this.#filled);
  }

  /** What came so far. */
  get bytes(): Buffer {
    return this.#bytes?.subarray(0, this.#filled) ?? EMPTY;
  }
}

const EMPTY = Buffer.alloc(0);
