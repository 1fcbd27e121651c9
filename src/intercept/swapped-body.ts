/**
 * The body of one request on its way up to a host that a key with `in: [body]` is bound to: decoded where it is
 * compressed, placeholders swapped, then framed by `request-leg.ts`. A short body is held until it is whole: nothing of
 * a refused one is sent, and its length stays known. All others stream in chunks, and a refusal leaves the last chunk
 * out. Invariants I5 and I6.
 */
import zlib from 'node:zlib';
import { type Denied, denied } from '../flow/reason.ts';
import { BodySwap } from '../secrets/body-swap.ts';
import { valuesOf } from '../secrets/body-type.ts';
import type { Pieces } from '../secrets/stream.ts';
import type { SwapAsk } from '../secrets/substitute.ts';
import { type Coding, codingOf } from '../wire/content-coding.ts';
import type { RequestHead } from '../wire/http1-parse.ts';
import { reframe } from '../wire/reframe.ts';
import { Decoder, MAX_RATIO, RATIO_FLOOR_BYTES } from './decoder.ts';

export type SwappedSink = {
  /** slices of what was fed among them */
  pieces(pieces: Pieces, length: number): void;
  /** all of the body was told */
  done(): void;
  failed(why: Denied): void;
  /** names of the keys that were put in so far */
  used(names: readonly string[]): void;
  /** something came outside of a read of the client */
  progress(): void;
  /** the client may be read again */
  drain(): void;
};

/** Bodies that are held until they are whole; compressed ones are undone in one go, which takes some milliseconds. */
const MAX_HELD_BODY_BYTES = 64 * 1024;
const MAX_HELD_CODED_BYTES = 16 * 1024;

const UNREADABLE = denied(
  'bad_request',
  'A body in this Content-Encoding cannot be searched for placeholders.',
);
const NOT_ENCODED = denied('bad_request', 'The body is not what its Content-Encoding says.');
const TOO_LARGE = denied('body_too_large', 'The body gets too large when its Content-Encoding is undone.');

export class SwappedBody {
  /** nothing goes up before all of it came */
  readonly whole: boolean;
  readonly #coding: Coding | null;
  readonly #swap: BodySwap;
  readonly #sink: SwappedSink;
  readonly #decoder: Decoder | null;
  readonly #held: Buffer[] = [];
  /** of a whole body in which a key was put */
  #length: number | null = null;

  /** What becomes of the body, or why it cannot be searched. */
  static of(head: RequestHead, ask: SwapAsk, sink: SwappedSink): SwappedBody | Denied {
    const coding = codingOf(head.text);
    if (coding === 'unknown') return UNREADABLE;
    const { framing, expectContinue } = head;
    // Who waits for a 100 would wait for ever: the upstream is to give it.
    const most = coding === null ? MAX_HELD_BODY_BYTES : MAX_HELD_CODED_BYTES;
    const whole = framing.kind === 'length' && framing.length <= most && !expectContinue;
    const type = valuesOf(head.text, 'content-type');
    return new SwappedBody(new BodySwap(ask, type), { coding, whole }, sink);
  }

  private constructor(swap: BodySwap, how: { coding: Coding | null; whole: boolean }, sink: SwappedSink) {
    this.whole = how.whole;
    this.#coding = how.coding;
    this.#swap = swap;
    this.#sink = sink;
    const decodes = how.coding !== null && !how.whole;
    const told = (step: () => void): void => {
      step();
      sink.progress();
    };
    this.#decoder =
      how.coding === null || !decodes
        ? null
        : new Decoder(how.coding, {
            data: (bytes) => told(() => this.#send(bytes)),
            end: () => told(() => this.#finish()),
            fail: (why) => sink.failed(why === 'large' ? TOO_LARGE : NOT_ENCODED),
            drain: () => sink.drain(),
          });
  }

  /** The client should wait. */
  get congested(): boolean {
    return this.#decoder?.congested === true;
  }

  feed(bytes: Buffer): void {
    if (this.whole) this.#held.push(Buffer.from(bytes));
    else if (this.#decoder === null) this.#send(bytes);
    else this.#decoder.feed(bytes);
  }

  end(): void {
    if (this.whole) this.#endWhole();
    else if (this.#decoder === null) this.#finish();
    else this.#decoder.end();
  }

  /** The head as the body goes up. */
  reframe(head: string): string {
    if (!this.whole) return reframe(head, { length: null, plain: this.#coding !== null });
    return this.#length === null ? head : reframe(head, { length: this.#length, plain: true });
  }

  pause(): void {
    this.#decoder?.pause();
  }

  resume(): void {
    this.#decoder?.resume();
  }

  stop(): void {
    this.#decoder?.stop();
  }

  #endWhole(): void {
    const came = Buffer.concat(this.#held.splice(0));
    const plain = this.#coding === null || came.length === 0 ? came : inflate(this.#coding, came);
    if ('kind' in plain) return this.#sink.failed(plain);
    const out: Pieces = [];
    const why = this.#swap.feed(plain, out) ?? this.#swap.end(out);
    if (why !== null) return this.#sink.failed(why);
    const { used } = this.#swap;
    this.#sink.used(used);
    // Without a key the very bytes go up, in their encoding.
    if (used.length > 0) this.#length = lengthOf(out);
    this.#tell(used.length > 0 ? out : [came]);
    return this.#sink.done();
  }

  #send(bytes: Buffer): void {
    const out: Pieces = [];
    const why = this.#swap.feed(bytes, out);
    if (why !== null) return this.#sink.failed(why);
    this.#sink.used(this.#swap.used);
    return this.#tell(out);
  }

  #finish(): void {
    const out: Pieces = [];
    const why = this.#swap.end(out);
    if (why !== null) return this.#sink.failed(why);
    this.#sink.used(this.#swap.used);
    this.#tell(out);
    return this.#sink.done();
  }

  #tell(pieces: Pieces): void {
    const length = lengthOf(pieces);
    if (length > 0) this.#sink.pieces(pieces, length);
  }
}

function lengthOf(pieces: Pieces): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/** Synchronous on purpose: so short a body takes a few milliseconds at most. */
function inflate(coding: Coding, bytes: Buffer): Buffer | Denied {
  const maxOutputLength = Math.min(
    RATIO_FLOOR_BYTES,
    Math.max(MAX_HELD_BODY_BYTES, bytes.length * MAX_RATIO),
  );
  try {
    return inflated(coding, bytes, { maxOutputLength });
  } catch (error) {
    // zlib throws for nothing else but these two.
    const isLarge = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
    return isLarge ? TOO_LARGE : NOT_ENCODED;
  }
}

function inflated(coding: Coding, bytes: Buffer, options: { maxOutputLength: number }): Buffer {
  switch (coding) {
    case 'gzip':
      return zlib.gunzipSync(bytes, options);
    case 'deflate':
      return ((bytes[0] ?? 0) & 0x0f) === 8
        ? zlib.inflateSync(bytes, options)
        : zlib.inflateRawSync(bytes, options);
    case 'br':
      return zlib.brotliDecompressSync(bytes, options);
    case 'zstd':
      return zlib.zstdDecompressSync(bytes, options);
  }
}
