/**
 * One stream of a client as an HTTP/1.1 connection that carries one request: its header section is printed as a head
 * and read by `session.ts` like any other, and what that session writes is turned into HTTP/2 again. So judging,
 * swapping, recording, limits and refusals are the same code on every transport. Made by `h2-session.ts`.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { SessionSide } from '../base/stages.ts';
import {
  fieldRecord,
  printRequest,
  printTrailers,
  type RawFields,
  responseFields,
  trailerFields,
} from '../wire/h2-fields.ts';
import type { ResponseHead } from '../wire/http1-parse.ts';
import { ResponseReader, type ResponseSink } from '../wire/http1-response-reader.ts';
import { chunkHeader, lastChunk } from '../wire/http1-write.ts';
import { HttpSession } from './session.ts';
import type { SessionAsk, SessionDeps } from './session-job.ts';

const CRLF = Buffer.from('\r\n');
/** Of a DATA frame: below it copying costs less than passing it on. */
const SMALL_BYTES = 1024;
/** Heads of our own making may be larger than what a peer may send. */
const OUR_HEADS = { maxHeadBytes: 65_536, maxLine: 32_768, maxFields: 160 };

export type H2StreamAsk = Omit<SessionAsk, 'side' | 'protocol'> & {
  readonly stream: ServerHttp2Stream;
  readonly fields: RawFields;
  /** the request has no body */
  readonly ended: boolean;
  /** everything that came was read */
  readonly onRead: () => void;
};

export class H2Stream {
  readonly #stream: ServerHttp2Stream;
  readonly #session: HttpSession;
  /** broken off by us: a reset is on its way */
  #broken = false;
  /** since when, monotonic milliseconds; 0: it is not */
  #brokenSince = 0;

  constructor(deps: SessionDeps, ask: H2StreamAsk) {
    const { stream, fields, ended } = ask;
    this.#stream = stream;
    const printed = printRequest(fields, ended);
    const plain = streamSide(stream, methodOf(fields));
    const destroy = (): void => {
      this.#broken = true;
      plain.destroy();
    };
    const side = { ...plain, destroy };
    this.#session = new HttpSession(deps, { ...ask, side, protocol: 'h2' });
    const session = this.#session;
    stream.on('error', () => {});
    stream.on('drain', () => session.drained());
    stream.on('close', () => session.closed());
    if (printed.kind === 'deny') {
      // Nothing of it is read; the answer goes out, then the stream ends.
      stream.resume();
      session.fault(printed);
      return;
    }
    this.#read(printed.chunked, ask.onRead);
    session.feed(Buffer.from(`${printed.text}\r\n\r\n`, 'latin1'));
    if (ended) session.finish();
  }

  get bytesUp(): number {
    return this.#session.bytesUp;
  }

  get bytesDown(): number {
    return this.#session.bytesDown;
  }

  tick(now: number): void {
    this.#session.tick(now);
    if (this.#broken && this.#brokenSince === 0) this.#brokenSince = now;
  }

  /** How long its reset has not left: the client takes nothing at all. Milliseconds. */
  stuckFor(now: number): number {
    return this.#brokenSince === 0 ? 0 : now - this.#brokenSince;
  }

  #read(chunked: boolean, onRead: () => void): void {
    const stream = this.#stream;
    const session = this.#session;
    let trailers: string | null = '';
    stream.on('trailers', (_headers: IncomingHttpHeaders, _flags: number, raw: unknown) => {
      trailers = Array.isArray(raw) ? printTrailers(raw) : null;
    });
    const feed = (bytes: Buffer): void =>
      session.feed(chunked ? Buffer.concat([Buffer.from(chunkHeader(bytes.length)), bytes, CRLF]) : bytes);
    // Frames of a few bytes are passed on together: each by itself costs here and upstream what a large one does.
    let small: Buffer[] = [];
    const join = (): void => {
      if (small.length === 0 || stream.destroyed) return;
      const bytes = Buffer.concat(small);
      small = [];
      feed(bytes);
    };
    stream.on('data', (bytes: Buffer) => {
      if (stream.readableLength === 0) onRead();
      if (bytes.length === 0) return;
      if (bytes.length >= SMALL_BYTES && small.length === 0) return feed(bytes);
      if (small.push(bytes) === 1) process.nextTick(join);
    });
    stream.on('end', () => {
      join();
      // A stream that is reset ends as well, but its request is not complete.
      if (stream.aborted || stream.destroyed) return;
      if (trailers === null) stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
      else if (chunked) session.feed(Buffer.from(lastChunk(trailers), 'latin1'));
      if (trailers !== null) session.finish();
    });
  }
}

function methodOf(fields: RawFields): string {
  for (let at = 0; at + 1 < fields.length; at += 2) {
    if (fields[at] === ':method') return fields[at + 1] ?? '';
  }
  return '';
}

/** The session's way to the client: HTTP/1.1 bytes in, HEADERS and DATA out. */
function streamSide(stream: ServerHttp2Stream, method: string): SessionSide {
  const answer = new StreamAnswer(stream, method);
  const destroy = (): void => {
    if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  };
  return {
    write: (bytes, encoding) =>
      answer.feed(typeof bytes === 'string' ? Buffer.from(bytes, encoding) : bytes) || stream.destroyed,
    unsent: stream,
    end: () => {
      if (!answer.complete) return destroy();
      if (!stream.endAfterHeaders && !stream.readableEnded) answer.stopReading();
    },
    destroy,
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
  };
}

/** Reads what the session wrote, with the strict parser, and says it in frames. */
class StreamAnswer implements ResponseSink {
  complete = false;
  readonly #stream: ServerHttp2Stream;
  readonly #reader = new ResponseReader(this, OUR_HEADS);
  /** a head that has not left: what follows decides whether it ends the stream */
  #head: string[] | null = null;
  #chunked = false;
  #trailers = '';
  #more = true;
  #trailersDue = false;
  #stop = false;

  constructor(stream: ServerHttp2Stream, method: string) {
    this.#stream = stream;
    this.#reader.expect(method);
    // Once: the library may ask again while it writes them out, and would throw.
    stream.once('wantTrailers', () => {
      if (stream.destroyed || stream.closed) return;
      // Invariant I7: this is no call of the session's, and what the library throws here would end the process.
      try {
        stream.sendTrailers(fieldRecord(trailerFields(this.#trailers)));
      } catch {
        return stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      }
      this.#trailersDue = false;
      // Not at once: a reset would overtake the frame that ends the stream, and the answer would not be whole.
      if (this.#stop) setImmediate(() => this.stopReading());
    });
  }

  /**
   * RFC 9113 section 8.1: the answer is whole, the rest of the request is not wanted. Said once the answer has left: the
   * library would wait for that too, but a stream that it waits for cannot be broken off any more.
   */
  stopReading(): void {
    const stream = this.#stream;
    this.#stop = true;
    if (this.#trailersDue || stream.destroyed || stream.closed) return;
    const stop = (): void => stream.close(constants.NGHTTP2_NO_ERROR);
    if (stream.writableFinished) stop();
    else stream.once('finish', stop);
  }

  /** False: the client wants a pause. */
  feed(bytes: Buffer): boolean {
    if (this.#stream.destroyed || this.#stream.closed) return true;
    this.#more = true;
    this.#stream.cork();
    this.#reader.feed(bytes);
    this.#respond(false);
    this.#stream.uncork();
    return this.#more;
  }

  interim(head: ResponseHead): void {
    if (!this.#stream.headersSent) this.#stream.additionalHeaders(fieldRecord(responseFields(head)));
  }

  head(head: ResponseHead): void {
    this.#head = responseFields(head);
    this.#chunked = head.framing.kind === 'chunked';
  }

  body(bytes: Buffer): void {
    this.#respond(false);
    this.#more = this.#stream.write(bytes);
  }

  end(trailers: string): void {
    this.complete = true;
    this.#trailers = trailers;
    this.#respond(trailers === '');
    this.#stream.end();
  }

  /** What the session writes is well-formed; where it is not, the client must not take it for whole. */
  fault(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  #respond(endStream: boolean): void {
    const fields = this.#head;
    if (fields === null || this.#stream.destroyed) return;
    this.#head = null;
    const waitForTrailers = !endStream && this.#chunked;
    this.#trailersDue = waitForTrailers;
    const options = { endStream, waitForTrailers, sendDate: false };
    this.#stream.respond(fields, options);
  }
}
