/**
 * The body of one request on its way up to a host that a key with `in: [body]` is bound to: decoded where it is
 * compressed, placeholders swapped, then framed by `request-leg.ts`. A short body is held until it is whole: nothing of
 * a refused one is sent, and its length stays known. All others stream in chunks, and a refusal leaves the last chunk
 * out. Invariants I5 and I6.
 */
import type { HeldShare } from '../base/held-bytes.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { BodySwap } from '../secrets/body-swap.ts';
import { lengthOfPieces, type Pieces } from '../secrets/stream.ts';
import { type Coding, codingOf } from '../wire/content-coding.ts';
import type { RequestHead } from '../wire/http1-parse.ts';
import { reframe } from '../wire/reframe.ts';
import { type DecodeFailure, Decoder } from './decoder.ts';
import { SmallPieces } from './small-pieces.ts';
import { WholeBody } from './whole-body.ts';

export type SwappedSink = {
  /** slices of what was fed among them */
  pieces(pieces: Pieces, length: number): void;
  /** all of the body was told */
  done(): void;
  failed(why: Denied): void;
  /** names of the keys that were put in so far */
  used(names: readonly string[]): void;
  /** runs what happened outside of a read of the client, and sends what is ready then */
  apart(step: () => void): void;
  /** the client may be read again */
  drain(): void;
};

/** What the body is and whose keys may stand in it. */
export type SwappedAsk = {
  readonly head: RequestHead;
  readonly swap: BodySwap;
  /** of this exchange alone */
  readonly room: HeldShare;
};

/** Bodies that are held until they are whole; of compressed ones what they become is held as well. */
const MAX_HELD_BODY_BYTES = 64 * 1024;
const MAX_HELD_CODED_BYTES = 16 * 1024;

const UNREADABLE = denied(
  'bad_request',
  'A body in this Content-Encoding cannot be searched for placeholders.',
);
const NOT_ENCODED = denied('bad_request', 'The body is not what its Content-Encoding says.');
const TOO_LARGE = denied('body_too_large', 'The body gets too large when its Content-Encoding is undone.');
const NO_ROOM = denied('overloaded', 'Too many bodies of this group are being decoded.');
const FAILURES: Readonly<Record<DecodeFailure, Denied>> = {
  bad: NOT_ENCODED,
  large: TOO_LARGE,
  room: NO_ROOM,
};

export class SwappedBody {
  readonly #coding: Coding | null;
  readonly #swap: BodySwap;
  readonly #sink: SwappedSink;
  readonly #room: HeldShare;
  readonly #decoder: Decoder | null;
  readonly #held: WholeBody | null;
  readonly #small: SmallPieces;
  /** what a whole body becomes */
  readonly #made: Pieces = [];
  /** of a whole body in which a key was put */
  #length: number | null = null;

  /** What becomes of the body, or why it cannot be searched. */
  static of(ask: SwappedAsk, sink: SwappedSink): SwappedBody | Denied {
    const { framing, expectContinue, text } = ask.head;
    const coding = codingOf(text);
    if (coding === 'unknown') return UNREADABLE;
    const most = coding === null ? MAX_HELD_BODY_BYTES : MAX_HELD_CODED_BYTES;
    // Who waits for a 100 would wait for ever: the upstream is to give it. Where no room is left it streams, too.
    const length = framing.kind === 'length' ? framing.length : Number.POSITIVE_INFINITY;
    const isHeld = length <= most && !expectContinue && ask.room.take(length);
    return new SwappedBody(ask, { coding, held: isHeld ? new WholeBody(length) : null }, sink);
  }

  private constructor(
    ask: SwappedAsk,
    how: { coding: Coding | null; held: WholeBody | null },
    sink: SwappedSink,
  ) {
    this.#held = how.held;
    this.#coding = how.coding;
    this.#swap = ask.swap;
    this.#room = ask.room;
    this.#sink = sink;
    this.#small = new SmallPieces({ take: (bytes) => this.#take(bytes), apart: (step) => sink.apart(step) });
    this.#decoder =
      how.coding === null
        ? null
        : new Decoder(how.coding, ask.room, {
            data: (bytes) => sink.apart(() => this.#take(bytes)),
            end: () => sink.apart(() => this.#end()),
            fail: (why) => sink.apart(() => sink.failed(FAILURES[why])),
            drain: () => sink.drain(),
          });
  }

  /** Nothing goes up before all of it came. */
  get whole(): boolean {
    return this.#held !== null;
  }

  /** The client should wait. */
  get congested(): boolean {
    return this.#decoder?.congested === true;
  }

  feed(bytes: Buffer): void {
    if (this.#held !== null) this.#held.add(bytes);
    else if (this.#decoder === null) this.#small.feed(bytes);
    else this.#decoder.feed(bytes);
  }

  end(): void {
    const held = this.#held?.bytes;
    if (this.#decoder === null) {
      this.#small.settle();
      const out: Pieces = [];
      return this.#finish(out, held === undefined ? this.#swap.end(out) : this.#swap.whole(held, out));
    }
    if (held !== undefined) this.#decoder.feed(held);
    this.#decoder.end();
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
    this.#small.stop();
    this.#room.giveBack();
  }

  /** Decoded bytes. */
  #take(bytes: Buffer): void {
    const out: Pieces = [];
    const why = this.#swap.feed(bytes, out) ?? this.#keep(out);
    if (why !== null) return this.#sink.failed(why);
    if (this.whole) return;
    this.#sink.used(this.#swap.used);
    this.#tell(out);
  }

  /** Of a whole body what is made; slices stay good, for what is fed is ours. */
  #keep(pieces: Pieces): Denied | null {
    if (!this.whole) return null;
    if (!this.#room.take(lengthOfPieces(pieces))) return NO_ROOM;
    for (const piece of pieces) this.#made.push(piece);
    return null;
  }

  #end(): void {
    const out: Pieces = [];
    this.#finish(out, this.#swap.end(out));
  }

  #finish(out: Pieces, refused: Denied | null): void {
    const why = refused ?? this.#keep(out);
    if (why !== null) return this.#sink.failed(why);
    const { used } = this.#swap;
    this.#sink.used(used);
    if (this.#held === null) this.#tell(out);
    // Without a key the very bytes go up, in their encoding.
    else if (used.length === 0) this.#tell([this.#held.bytes]);
    else {
      this.#length = lengthOfPieces(this.#made);
      this.#tell(this.#made);
    }
    return this.#sink.done();
  }

  #tell(pieces: Pieces): void {
    const length = lengthOfPieces(pieces);
    if (length > 0) this.#sink.pieces(pieces, length);
  }
}
