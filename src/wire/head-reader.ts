/**
 * Finds the end of a head in split input. Called by the readers of `http1-reader.ts`. The usual head lies
 * whole in one read and is never copied; only a part of one is kept.
 */
import type { Buffer } from 'node:buffer';
import { ByteStore, EMPTY_LINE } from './byte-store.ts';
import type { HeadLimits } from './http1-fields.ts';

export class HeadReader {
  #next = 0;
  #problem: 'full' | 'bad' | null = null;
  readonly #partial: ByteStore;
  readonly #maxHeadBytes: number;

  constructor(limits: HeadLimits) {
    this.#maxHeadBytes = limits.maxHeadBytes;
    this.#partial = new ByteStore(limits.maxHeadBytes);
  }

  /** Offset of the first byte that the last `read()` did not consume. */
  get next(): number {
    return this.#next;
  }

  /** Why the last `read()` can never succeed: over the limit, or a control byte in what has come. */
  get problem(): 'full' | 'bad' | null {
    return this.#problem;
  }

  /** @returns latin-1 text before the empty line, or null while there is none */
  read(input: Buffer, at: number): string | null {
    if (this.#partial.length === 0) {
      const end = input.indexOf(EMPTY_LINE, at);
      this.#next = end + EMPTY_LINE.length;
      if (end >= 0 && this.#next - at <= this.#maxHeadBytes) return input.toString('latin1', at, end);
    }
    const taken = this.#partial.takeUntilEmptyLine(input, at);
    if (taken.kind === 'found') {
      this.#next = taken.next;
      const text = this.#partial.text();
      this.#partial.clear();
      return text;
    }
    this.#next = input.length;
    this.#problem = taken.kind === 'more' ? null : taken.kind;
    return null;
  }

  /** Has the beginning of a head come, and not its end. */
  get begun(): boolean {
    return this.#partial.length > 0;
  }

  /** The first bytes of a head whose end has not come, latin-1. */
  start(length: number): string {
    return this.#partial.start(length);
  }

  clear(): void {
    this.#partial.clear();
  }
}
