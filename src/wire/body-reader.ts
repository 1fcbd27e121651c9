/**
 * Follows one body to its end, whichever way it is framed (RFC 9112 section 6). Called by the readers of
 * `http1-reader.ts`, which keep one for all messages of a connection.
 */
import type { Buffer } from 'node:buffer';
import { ChunkedDecoder } from './chunked.ts';
import type { HeadLimits } from './http1-fields.ts';
import type { ResponseFraming } from './http1-parse.ts';

export class BodyReader {
  /** bytes to come; -1 when only the connection's end tells */
  #remaining = 0;
  #chunked: ChunkedDecoder | null = null;
  readonly #limits: HeadLimits;
  readonly #body: (bytes: Buffer) => void;

  /** @param body gets slices of what is fed, decoded, never empty */
  constructor(limits: HeadLimits, body: (bytes: Buffer) => void) {
    this.#limits = limits;
    this.#body = body;
  }

  get done(): boolean {
    return this.#chunked === null ? this.#remaining === 0 : this.#chunked.done;
  }

  get bad(): boolean {
    return this.#chunked?.bad === true;
  }

  /** Trailer field lines of a body that is done, each with its leading CRLF; mostly empty. */
  get trailers(): string {
    return this.#chunked === null ? '' : this.#chunked.trailers;
  }

  /** Does the body end with the connection. */
  get untilEof(): boolean {
    return this.#remaining < 0;
  }

  start(framing: ResponseFraming): void {
    this.#chunked = framing.kind === 'chunked' ? new ChunkedDecoder(this.#limits, this.#body) : null;
    this.#remaining = framing.kind === 'length' ? framing.length : framing.kind === 'eof' ? -1 : 0;
  }

  /** @returns the offset of the first byte that is not the body's */
  feed(bytes: Buffer, at: number): number {
    if (this.#chunked !== null) return this.#chunked.feed(bytes, at);
    const left = bytes.length - at;
    const size = this.#remaining < 0 ? left : Math.min(this.#remaining, left);
    if (this.#remaining > 0) this.#remaining -= size;
    if (size > 0) this.#body(size === bytes.length ? bytes : bytes.subarray(at, at + size));
    return at + size;
  }
}
