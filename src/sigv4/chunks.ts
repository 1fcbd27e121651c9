/**
 * `aws-chunked` with signed chunks (S3, "Signature calculations for the Authorization header: transferring payload in
 * multiple chunks"; with trailers: "…including trailing headers"): every chunk's signature is verified with the
 * placeholders' key and written anew with the real one. A chunk's signature stands before its bytes, so one chunk is held
 * at a time. Length and framing stay the same. Driven by `intercept/signed-body.ts`; holds no socket.
 */
import { createHash } from 'node:crypto';
import { type Denied, denied } from '../flow/reason.ts';
import { type Scope, scopeText } from './canonical.ts';
import type { Resigned } from './resign.ts';
import { EMPTY_SHA256, type Signer, sha256 } from './signer.ts';

export const SIGNED_CHUNKS = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
export const SIGNED_CHUNKS_TRAILER = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER';

/** SDKs send 64 KiB to 1 MiB. */
export const MAX_CHUNK_BYTES = 8 * 1024 * 1024;
/** A chunk's line, and the trailer lines with their signature. */
const MAX_LINE_BYTES = 128;
const MAX_TRAILER_BYTES = 4_096;
const LINE = /^([0-9A-Fa-f]{1,8});chunk-signature=([0-9a-f]{64})$/;
const TRAILER_SIGNATURE = /^x-amz-trailer-signature:[ \t]*([0-9a-f]{64})$/i;
const EMPTY = Buffer.alloc(0);
const CRLF = '\r\n';

export type ChunksAsk = {
  readonly at: string;
  readonly scope: Scope;
  readonly trailer: boolean;
  /** for one chunk at a time */
  readonly room: { take(bytes: number): boolean; give(bytes: number): void };
};

/** One chain of signatures; each hangs on the one before. */
type Chain = { readonly signer: Signer; previous: string };

const TOO_LARGE = denied('body_too_large', `A signed chunk has at most ${MAX_CHUNK_BYTES} bytes.`);
const NO_ROOM = denied('overloaded', 'Too many signed bodies of this group are under way.');
const MALFORMED = denied('bad_request', 'The body is not aws-chunked as its X-Amz-Content-Sha256 says.');
const FORGED = denied(
  'placeholder_wrong_place',
  'The signature of a chunk is not one of the placeholder set.',
);

export class SignedChunks {
  readonly #ask: ChunksAsk;
  readonly #own: Chain;
  readonly #real: Chain;
  #state: 'line' | 'data' | 'end' | 'trailer' | 'done' = 'line';
  /** of a line, or of the trailer */
  #text = '';
  /** size as it was written */
  #size = '';
  #claimed = '';
  #data = EMPTY;
  /** of the chunk, taken as it comes */
  #hash = createHash('sha256');
  #length = 0;
  #taken = 0;

  constructor(ask: ChunksAsk, seed: Resigned) {
    this.#ask = ask;
    this.#own = { signer: seed.own, previous: seed.ownSignature };
    this.#real = { signer: seed.real, previous: seed.realSignature };
  }

  /** Appends to `out` what may be sent: buffers of its own. Nothing may be fed after a refusal. */
  feed(bytes: Buffer, out: Buffer[]): Denied | null {
    for (let at = 0; at < bytes.length; ) {
      const step = this.#state === 'data' ? this.#fill(bytes, at) : this.#read(bytes, at, out);
      if (typeof step !== 'number') return step;
      at = step;
      if (this.#state === 'data' && this.#length === this.#data.length) this.#state = 'end';
    }
    return null;
  }

  /** The body is over. */
  end(): Denied | null {
    return this.#state === 'done' ? null : MALFORMED;
  }

  /** Wipes the keys and gives the room back. */
  stop(): void {
    this.#letGo();
    this.#own.signer.drop();
    this.#real.signer.drop();
  }

  #fill(bytes: Buffer, at: number): number {
    const copied = bytes.copy(this.#data, this.#length, at);
    this.#hash.update(this.#data.subarray(this.#length, this.#length + copied));
    this.#length += copied;
    return at + copied;
  }

  /** Up to the end of a line. */
  #read(bytes: Buffer, at: number, out: Buffer[]): number | Denied {
    if (this.#state === 'done') return MALFORMED;
    const newline = bytes.indexOf(0x0a, at);
    const to = newline === -1 ? bytes.length : newline + 1;
    const most = this.#state === 'trailer' ? MAX_TRAILER_BYTES : MAX_LINE_BYTES;
    if (this.#text.length + to - at > most) return MALFORMED;
    this.#text += bytes.toString('latin1', at, to);
    if (newline === -1) return to;
    return this.#line(out) ?? to;
  }

  #line(out: Buffer[]): Denied | null {
    if (this.#state === 'line') return this.#begin();
    return this.#state === 'end' ? this.#finish(out) : this.#trailer(out);
  }

  #begin(): Denied | null {
    const [, size, signature] = LINE.exec(this.#takeLine()) ?? [];
    if (size === undefined || signature === undefined) return MALFORMED;
    const length = Number.parseInt(size, 16);
    if (length > MAX_CHUNK_BYTES) return TOO_LARGE;
    if (!this.#ask.room.take(length)) return NO_ROOM;
    this.#taken = length;
    this.#size = size;
    this.#claimed = signature;
    this.#data = length === 0 ? EMPTY : Buffer.allocUnsafe(length);
    this.#length = 0;
    this.#hash = createHash('sha256');
    if (length > 0) this.#state = 'data';
    else this.#state = this.#ask.trailer ? 'trailer' : 'end';
    return null;
  }

  /** The CRLF behind a chunk's bytes: now it is whole. */
  #finish(out: Buffer[]): Denied | null {
    if (this.#takeLine() !== '') return MALFORMED;
    const forged = this.#pass(out);
    if (forged !== null) return forged;
    out.push(Buffer.from(CRLF, 'latin1'));
    this.#state = this.#length === 0 ? 'done' : 'line';
    this.#letGo();
    return null;
  }

  /** The chunk's line and bytes. */
  #pass(out: Buffer[]): Denied | null {
    const hash = this.#hash.digest('hex');
    const text = (previous: string): string => this.#toSign('PAYLOAD', previous, `${EMPTY_SHA256}\n${hash}`);
    const signature = this.#next(text, this.#claimed);
    if (signature === null) return FORGED;
    out.push(Buffer.from(`${this.#size};chunk-signature=${signature}${CRLF}`, 'latin1'));
    if (this.#length > 0) out.push(this.#data);
    return null;
  }

  /** Lines up to an empty one; the signature is the last. */
  #trailer(out: Buffer[]): Denied | null {
    if (!/(?:^|\n)\r?\n$/.test(this.#text)) return null;
    const raw = this.#text;
    const lines = raw
      .split('\n')
      .map((line) => line.replace(/\r$/, ''))
      .filter((line) => line !== '');
    const claimed = TRAILER_SIGNATURE.exec(lines.at(-1) ?? '')?.[1];
    // Some write an empty line between the fields and their signature.
    if (claimed === undefined) return null;
    this.#text = '';
    const forged = this.#pass(out);
    if (forged !== null) return forged;
    const hash = sha256(canonicalTrailers(lines.slice(0, -1)));
    const signature = this.#next((previous) => this.#toSign('TRAILER', previous, hash), claimed);
    if (signature === null) return FORGED;
    const at = raw.lastIndexOf(claimed);
    out.push(Buffer.from(raw.slice(0, at) + signature + raw.slice(at + claimed.length), 'latin1'));
    this.#state = 'done';
    this.#letGo();
    return null;
  }

  #toSign(what: 'PAYLOAD' | 'TRAILER', previous: string, hashes: string): string {
    const { at, scope } = this.#ask;
    return `AWS4-HMAC-SHA256-${what}\n${at}\n${scopeText(scope)}\n${previous}\n${hashes}`;
  }

  /** The real signature of what `claimed` signs with the placeholders; null where it does not. */
  #next(text: (previous: string) => string, claimed: string): string | null {
    if (!this.#own.signer.verifies(text(this.#own.previous), claimed)) return null;
    this.#own.previous = claimed;
    this.#real.previous = this.#real.signer.sign(text(this.#real.previous));
    return this.#real.previous;
  }

  #takeLine(): string {
    const line = this.#text.replace(/\r\n$/, '');
    this.#text = '';
    return line;
  }

  #letGo(): void {
    if (this.#taken > 0) this.#ask.room.give(this.#taken);
    this.#taken = 0;
    this.#data = EMPTY;
  }
}

function canonicalTrailers(lines: readonly string[]): string {
  return lines
    .map((line) => {
      const colon = line.indexOf(':');
      return `${line.slice(0, colon).trim().toLowerCase()}:${line.slice(colon + 1).trim()}\n`;
    })
    .sort()
    .join('');
}
