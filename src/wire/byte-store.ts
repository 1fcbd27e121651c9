/**
 * Bytes that must outlive the shared read buffer: the part of a head or trailer section that has come so
 * far. Called by the readers and the chunked decoder. Grows by doubling up to its cap, so one byte per
 * segment costs no more than one segment.
 */
import { Buffer } from 'node:buffer';

/** End of a head: an empty line. */
export const EMPTY_LINE: Buffer = Buffer.from('\r\n\r\n');
const FIRST_CAPACITY = 512;
const EMPTY: Buffer = Buffer.alloc(0);

export type Taken =
  /** `next` is the input's first byte behind the empty line */
  { readonly kind: 'found'; readonly next: number } | { readonly kind: 'more' | 'full' | 'bad' };

export class ByteStore {
  #bytes: Buffer = EMPTY;
  #length = 0;
  /** of what stands before the empty line, once found */
  #textLength = 0;
  readonly #cap: number;

  /** @param cap bytes it may hold, the empty line included */
  constructor(cap: number) {
    this.#cap = cap;
  }

  get length(): number {
    return this.#length;
  }

  /** Copies; the caller has looked at the cap. */
  append(bytes: Buffer): void {
    const needed = this.#length + bytes.length;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2, FIRST_CAPACITY));
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    bytes.copy(this.#bytes, this.#length);
    this.#length = needed;
  }

  /**
   * Copies input up to and with the empty line.
   * @returns `full` at the cap, `bad` where a control byte already spoils what has come: a client that
   * ends its lines with LF alone would else wait for ever
   */
  takeUntilEmptyLine(bytes: Buffer, from: number): Taken {
    const before = this.#length;
    const to = Math.min(bytes.length, from + this.#cap - before);
    this.append(bytes.subarray(from, to));
    const at = this.#bytes.subarray(0, this.#length).indexOf(EMPTY_LINE, Math.max(0, before - 3));
    if (at >= 0) {
      this.#textLength = at;
      return { kind: 'found', next: from + at + EMPTY_LINE.length - before };
    }
    if (this.#spoiltSince(before)) return { kind: 'bad' };
    return { kind: this.#length >= this.#cap ? 'full' : 'more' };
  }

  /** What stands before the empty line, latin-1. */
  text(): string {
    return this.#bytes.toString('latin1', 0, this.#textLength);
  }

  /** The first bytes, latin-1, for a look before the empty line has come. */
  start(length: number): string {
    return this.#bytes.toString('latin1', 0, Math.min(length, this.#length));
  }

  clear(): void {
    this.#bytes = EMPTY;
    this.#length = 0;
    this.#textLength = 0;
  }

  /** Looks at the new bytes only: any control byte but TAB, a CR without LF, an LF without CR. */
  #spoiltSince(before: number): boolean {
    for (let i = before; i < this.#length; i++) {
      const byte = this.#bytes[i] ?? 0;
      const afterCr = i > 0 && this.#bytes[i - 1] === 0x0d;
      if (afterCr !== (byte === 0x0a)) return true;
      if ((byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) || byte === 0x7f) return true;
    }
    return false;
  }
}
