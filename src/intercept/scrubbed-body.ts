/**
 * The body of one response on its way down from a host that keys are bound to: decoded where it is compressed, keys
 * taken out, and only then told to `response-leg.ts`, which frames it. A short body of known length is held until it
 * is whole, so that its length stays known; all others stream. The head waits for the first bytes of a compressed
 * body, so that one that is not what it says is answered by a refusal. Invariant I5.
 */
import { type Denied, denied } from '../flow/reason.ts';
import { Scrubber, type ScrubSet } from '../secrets/scrub.ts';
import type { Pieces } from '../secrets/stream.ts';
import { type Coding, codingOf } from '../wire/content-coding.ts';
import { fieldValue, type ResponseHead } from '../wire/http1-parse.ts';
import { tellsEncoding } from '../wire/reframe.ts';
import { Decoder } from './decoder.ts';

/** What an exchange gives the leg for a response that is to be scrubbed. */
export type ScrubAsk = {
  /** what must not pass, as of now */
  readonly patterns: () => ScrubSet;
  /** the name of a key that was taken out */
  readonly found: (env: string) => void;
  /** something happened outside of a read: what is ready should be sent */
  readonly progress: () => void;
  /** the upstream may be read again */
  readonly drain: () => void;
};

export type ScrubbedSink = {
  /** the head may go; `length`: of the body, null where only its end will tell; `drop`: fields that are wrong now */
  ready(length: number | null, drop: ((name: string) => boolean) | undefined): void;
  /** never empty; slices of what was fed among them */
  pieces(pieces: Pieces, length: number): void;
  done(): void;
  failed(why: Denied): void;
};

/** Bodies that are held until they are whole. */
export const MAX_HELD_BODY_BYTES = 64 * 1024;

const UNREADABLE = denied('response_unscrubbable', 'Its Content-Encoding cannot be undone here.');
const TOO_LARGE = denied(
  'response_unscrubbable',
  'The body gets too large when its Content-Encoding is undone.',
);
const NOT_ENCODED = denied('upstream_bad_response', 'The body is not what its Content-Encoding says.');

export class ScrubbedBody {
  readonly #sink: ScrubbedSink;
  readonly #scrubber: Scrubber;
  readonly #decoder: Decoder | null;
  /** of a body that is held until it is whole: copies */
  readonly #held: Pieces | null;
  #ready = false;

  /** What becomes of a body, or why it cannot be searched. */
  static of(head: ResponseHead, ask: ScrubAsk, sink: ScrubbedSink): ScrubbedBody | Denied {
    const coding = codingOf(head.text);
    if (coding === 'unknown') return UNREADABLE;
    const { framing } = head;
    const short = coding === null && framing.kind === 'length' && framing.length <= MAX_HELD_BODY_BYTES;
    const body = new ScrubbedBody(ask, { coding, short }, sink);
    // An event stream may say nothing for long; its reader wants the head.
    if (!short && (coding === null || isEventStream(head))) body.#begin(null);
    return body;
  }

  private constructor(ask: ScrubAsk, how: { coding: Coding | null; short: boolean }, sink: ScrubbedSink) {
    this.#sink = sink;
    this.#scrubber = new Scrubber(ask.patterns, ask.found);
    this.#held = how.short ? [] : null;
    const told = (step: () => void) => (): void => {
      step();
      ask.progress();
    };
    this.#decoder =
      how.coding === null
        ? null
        : new Decoder(how.coding, {
            data: (bytes) => told(() => this.#scrub(bytes))(),
            end: told(() => this.#end()),
            fail: (why) => told(() => sink.failed(why === 'large' ? TOO_LARGE : NOT_ENCODED))(),
            drain: ask.drain,
          });
  }

  /** The upstream should wait. */
  get congested(): boolean {
    return this.#decoder?.congested === true;
  }

  feed(bytes: Buffer): void {
    if (this.#decoder === null) this.#scrub(bytes);
    else this.#decoder.feed(bytes);
  }

  /** The upstream's body is whole; what is still to be decoded follows later. */
  end(): void {
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
  }

  #scrub(bytes: Buffer): void {
    const out: Pieces = [];
    this.#scrubber.feed(bytes, out);
    this.#send(out);
  }

  #end(): void {
    const out: Pieces = [];
    this.#scrubber.end(out);
    if (this.#held === null) {
      this.#send(out);
      this.#begin(null);
    } else {
      this.#held.push(...out);
      this.#begin(lengthOf(this.#held));
      this.#tell(this.#held);
    }
    this.#sink.done();
  }

  #send(pieces: Pieces): void {
    if (this.#held !== null) {
      for (const piece of pieces) this.#held.push(typeof piece === 'string' ? piece : Buffer.from(piece));
    } else if (pieces.length > 0) {
      this.#begin(null);
      this.#tell(pieces);
    }
  }

  #tell(pieces: Pieces): void {
    const length = lengthOf(pieces);
    if (length > 0) this.#sink.pieces(pieces, length);
  }

  #begin(length: number | null): void {
    if (this.#ready) return;
    this.#ready = true;
    this.#sink.ready(length, this.#decoder === null ? undefined : tellsEncoding);
  }
}

function lengthOf(pieces: Pieces): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

function isEventStream(head: ResponseHead): boolean {
  return fieldValue(head, 'content-type')?.toLowerCase().startsWith('text/event-stream') === true;
}
