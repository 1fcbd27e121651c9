/**
 * The chunked transfer coding (RFC 9112 section 7.1) as a machine over split input. Used by `body-reader.ts`.
 * Extensions are checked, counted and dropped; trailers are checked and kept for the end.
 *
 * Stricter than the RFC: no white space around the size, no bare LF anywhere, at most 16 digits.
 */
import { Buffer } from 'node:buffer';
import { ByteStore } from './byte-store.ts';
import { FIELD_LINES, type HeadLimits } from './http1-fields.ts';

/** Enough for 2^53 - 1 with two leading zeros; a size is refused above it. */
const MAX_SIZE_DIGITS = 16;
const CRLF = Buffer.from('\r\n');
const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;

type FramingState = 'size' | 'extension' | 'size-lf' | 'data-cr' | 'data-lf';
type State = FramingState | 'data' | 'trailer' | 'done' | 'bad';

export class ChunkedDecoder {
  #state: State = 'size';
  #size = 0;
  #digits = 0;
  #extension = 0;
  #extensions = 0;
  #lines = '';
  readonly #trailer: ByteStore;
  readonly #limits: HeadLimits;
  readonly #body: (bytes: Buffer) => void;

  /** @param body gets slices of what is fed, without their framing, never empty */
  constructor(limits: HeadLimits, body: (bytes: Buffer) => void) {
    this.#limits = limits;
    this.#body = body;
    this.#trailer = new ByteStore(limits.maxTrailerBytes);
  }

  get done(): boolean {
    return this.#state === 'done';
  }

  get bad(): boolean {
    return this.#state === 'bad';
  }

  /** Trailer field lines, each with its leading CRLF; empty until done, and where there are none. */
  get trailers(): string {
    return this.#lines;
  }

  /** @returns the offset of the first byte that was not consumed: the input's end, unless done or bad */
  feed(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length && this.#state !== 'done' && this.#state !== 'bad') {
      if (this.#state === 'data') at = this.#data(bytes, at);
      else if (this.#state === 'trailer') at = this.#trailers(bytes, at);
      else this.#state = this.#framing(this.#state, bytes[at++] ?? 0);
    }
    return at;
  }

  #framing(state: FramingState, byte: number): State {
    switch (state) {
      case 'size':
        return this.#sizeByte(byte);
      case 'extension':
        return this.#extensionByte(byte);
      case 'size-lf':
        if (byte !== LF) return 'bad';
        return this.#size > 0 ? 'data' : 'trailer';
      case 'data-cr':
        return byte === CR ? 'data-lf' : 'bad';
      case 'data-lf':
        this.#digits = 0;
        this.#extension = 0;
        return byte === LF ? 'size' : 'bad';
    }
  }

  #sizeByte(byte: number): State {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#size = this.#size * 16 + digit;
      const fits = ++this.#digits <= MAX_SIZE_DIGITS && Number.isSafeInteger(this.#size);
      return fits ? 'size' : 'bad';
    }
    if (this.#digits === 0) return 'bad';
    if (byte === CR) return 'size-lf';
    return byte === SEMICOLON ? 'extension' : 'bad';
  }

  #extensionByte(byte: number): State {
    // RFC 9112 section 7.1.1: behind a semicolon comes a name.
    if (byte === CR) return this.#extension > 0 ? 'size-lf' : 'bad';
    if ((byte < 0x20 && byte !== 0x09) || byte === 0x7f) return 'bad';
    const fits =
      ++this.#extension <= this.#limits.maxChunkExtension &&
      ++this.#extensions <= this.#limits.maxChunkExtensions;
    return fits ? 'extension' : 'bad';
  }

  #data(bytes: Buffer, at: number): number {
    const end = Math.min(at + this.#size, bytes.length);
    this.#size -= end - at;
    if (this.#size === 0) this.#state = 'data-cr';
    this.#body(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    return end;
  }

  /** The lines after the last chunk up to and with the empty one; the store begins with that chunk's CRLF. */
  #trailers(bytes: Buffer, at: number): number {
    if (this.#trailer.length === 0) {
      if (bytes[at] === CR && bytes[at + 1] === LF) {
        this.#state = 'done';
        return at + 2;
      }
      this.#trailer.append(CRLF);
    }
    const taken = this.#trailer.takeUntilEmptyLine(bytes, at);
    if (taken.kind === 'more') return bytes.length;
    this.#state = taken.kind === 'found' && this.#trailersAreFields() ? 'done' : 'bad';
    return taken.kind === 'found' ? taken.next : bytes.length;
  }

  #trailersAreFields(): boolean {
    const text = this.#trailer.text();
    if (!FIELD_LINES.test(text) || text.split('\r\n').length - 1 > this.#limits.maxFields) return false;
    this.#lines = text;
    return true;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
