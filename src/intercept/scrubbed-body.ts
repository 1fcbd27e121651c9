/**
 * The body of one response on its way down from a host that keys are bound to: decoded where it is compressed, keys
 * taken out, and only then told to `response-leg.ts`, which frames it. A short body of known length is held until it
 * is whole, so that its length stays known; all others stream. The head waits for the first bytes of a compressed
 * body, so that one that is not what it says is answered by a refusal. Invariant I5.
 */
import type { HeldShare } from '../base/held-bytes.ts';
import { type Denied, denied } from '../flow/reason.ts';
import { hidesAscii } from '../secrets/charset.ts';
import { Scrubber, type ScrubWith, scrubWhole } from '../secrets/scrub.ts';
import { lengthOfPieces, type Pieces } from '../secrets/stream.ts';
import { type Coding, codingOf, hidesMessages } from '../wire/content-coding.ts';
import { fieldValue, type ResponseHead } from '../wire/http1-parse.ts';
import { tellsEncoding } from '../wire/reframe.ts';
import { type DecodeFailure, Decoder } from './decoder.ts';
import { SmallPieces } from './small-pieces.ts';
import { WholeBody } from './whole-body.ts';

/** What an exchange gives the leg for a response that is to be scrubbed. */
export type ScrubAsk = ScrubWith & {
  /** bodies that are passed on to the byte all the same; null: none */
  readonly asIs: ((head: ResponseHead) => boolean) | null;
  /** runs what happened outside of a read, and sends what is ready then */
  apart(step: () => void): void;
  /** the upstream may be read again */
  drain(): void;
  /** of this exchange alone */
  readonly room: HeldShare;
};

export type ScrubbedSink = {
  /** the head may go; `length`: of the body, null where only its end will tell; `drop`: fields that are wrong now */
  bodyReady(length: number | null, drop: ((name: string) => boolean) | undefined): void;
  /** never empty; slices of what was fed among them */
  bodyPieces(pieces: Pieces, length: number): void;
  bodyDone(): void;
  fault(why: Denied): void;
};

/** Bodies that are held until they are whole. */
export const MAX_HELD_BODY_BYTES = 64 * 1024;

const UNREADABLE = denied('response_unscrubbable', 'Its Content-Encoding cannot be undone here.');
const FOREIGN = denied('response_unscrubbable', 'Its charset writes ASCII otherwise, or is not known here.');
const TOO_LARGE = denied(
  'response_unscrubbable',
  'The body gets too large when its Content-Encoding is undone.',
);
const NOT_ENCODED = denied('upstream_bad_response', 'The body is not what its Content-Encoding says.');
const NO_ROOM = denied('overloaded', 'Too many bodies of this group are being decoded.');
const FAILURES: Readonly<Record<DecodeFailure, Denied>> = {
  bad: NOT_ENCODED,
  large: TOO_LARGE,
  room: NO_ROOM,
};

export class ScrubbedBody {
  readonly #sink: ScrubbedSink;
  readonly #ask: ScrubAsk;
  readonly #held: WholeBody | null;
  readonly #decoder: Decoder | null;
  /** null where the body is held */
  readonly #small: SmallPieces | null;
  readonly #scrubber: Scrubber | null;
  #ready = false;

  /** What becomes of a body, or why it cannot be searched. */
  static of(head: ResponseHead, ask: ScrubAsk, sink: ScrubbedSink): ScrubbedBody | Denied {
    const coding = codingOf(head.text);
    if (coding === 'unknown' || hidesMessages(head.text)) return UNREADABLE;
    if (hidesAscii(head.text)) return FOREIGN;
    const { framing } = head;
    // Where there is no room left a short body streams, too.
    const length = coding === null && framing.kind === 'length' ? framing.length : Number.POSITIVE_INFINITY;
    const isHeld = length <= MAX_HELD_BODY_BYTES && ask.room.take(length);
    const body = new ScrubbedBody(ask, { coding, held: isHeld ? new WholeBody(length) : null }, sink);
    // An event stream may say nothing for long; its reader wants the head.
    if (!isHeld && (coding === null || isEventStream(head))) body.#begin(null);
    return body;
  }

  private constructor(
    ask: ScrubAsk,
    how: { coding: Coding | null; held: WholeBody | null },
    sink: ScrubbedSink,
  ) {
    this.#sink = sink;
    this.#ask = ask;
    this.#held = how.held;
    const streams = how.held === null;
    const apart = (step: () => void): void => ask.apart(step);
    this.#scrubber = streams ? scrubberFor(ask) : null;
    this.#small = streams ? new SmallPieces({ take: (bytes) => this.#scrub(bytes), apart }) : null;
    this.#decoder =
      how.coding === null
        ? null
        : new Decoder(how.coding, ask.room, {
            data: (bytes) => apart(() => this.#scrub(bytes)),
            end: () => apart(() => this.#end()),
            fail: (why) => apart(() => sink.fault(FAILURES[why])),
            drain: () => ask.drain(),
          });
  }

  /** The upstream should wait. */
  get congested(): boolean {
    return this.#decoder?.congested === true;
  }

  feed(bytes: Buffer): void {
    const held = this.#held;
    // Most short bodies come in one piece, which need not be kept.
    if (held?.isAll(bytes) === true) this.#scrubWhole(bytes);
    else if (held !== null) held.add(bytes);
    else if (this.#decoder === null) this.#small?.feed(bytes);
    else this.#decoder.feed(bytes);
  }

  /** The upstream's body is whole; what is still to be decoded follows later. */
  end(): void {
    this.#small?.settle();
    if (this.#decoder === null) this.#end();
    else this.#decoder.end();
  }

  pause(): void {
    this.#decoder?.pause();
  }

  resume(): void {
    this.#decoder?.resume();
  }

  stop(): void {
    this.#decoder?.stop();
    this.#small?.stop();
    this.#ask.room.giveBack();
  }

  #scrub(bytes: Buffer): void {
    const out: Pieces = [];
    this.#scrubber?.feed(bytes, out);
    if (out.length === 0) return;
    this.#begin(null);
    this.#tell(out);
  }

  #end(): void {
    if (this.#held !== null) {
      if (!this.#ready) this.#scrubWhole(this.#held.bytes);
      return this.#sink.bodyDone();
    }
    const out: Pieces = [];
    this.#scrubber?.end(out);
    this.#begin(null);
    this.#tell(out);
    this.#sink.bodyDone();
  }

  #scrubWhole(bytes: Buffer): void {
    const out = scrubWhole(bytes, this.#ask);
    const length = lengthOfPieces(out);
    this.#begin(length);
    this.#tell(out, length);
  }

  #tell(pieces: Pieces, length = lengthOfPieces(pieces)): void {
    if (length > 0) this.#sink.bodyPieces(pieces, length);
  }

  #begin(length: number | null): void {
    if (this.#ready) return;
    this.#ready = true;
    this.#sink.bodyReady(length, this.#decoder === null ? undefined : tellsEncoding);
  }
}

function scrubberFor(ask: ScrubAsk): Scrubber {
  return new Scrubber(
    () => ask.patterns(),
    (env) => ask.found(env),
  );
}

function isEventStream(head: ResponseHead): boolean {
  return fieldValue(head, 'content-type')?.toLowerCase().startsWith('text/event-stream') === true;
}
