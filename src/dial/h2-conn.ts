/**
 * One stream to an HTTP/2 upstream in the shape of an HTTP/1.1 connection that serves one request: what an exchange
 * writes is read by the strict parser and becomes HEADERS and DATA, and what comes back is printed as HTTP/1.1, so that
 * the strict response parser judges it like any other. Made by `h2-upstream.ts`.
 */
import {
  type ClientHttp2Stream,
  type ClientSessionRequestOptions,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { H2Reads } from '../base/h2-wire.ts';
import type { UpstreamConn, UpstreamSocket, UpstreamUser } from '../base/upstream.ts';
import {
  fieldRecord,
  printResponse,
  printTrailers,
  requestFields,
  trailerFields,
} from '../wire/h2-fields.ts';
import type { RequestHead } from '../wire/http1-parse.ts';
import { RequestReader, type RequestSink } from '../wire/http1-reader.ts';
import { chunkHeader, lastChunk } from '../wire/http1-write.ts';

export type H2ConnAsk = {
  readonly key: string;
  readonly uses: number;
  /** begins a stream; throws where the connection takes no more */
  readonly begin: (fields: string[], options: ClientSessionRequestOptions) => ClientHttp2Stream;
  readonly reads: H2Reads;
  /** the stream is gone, or none will be asked for */
  readonly onGone: (conn: H2Conn) => void;
};

const CRLF = Buffer.from('\r\n');
/** A head of ours with keys in it: `MAX_SUBSTITUTED_HEAD` and its framing. */
const OUR_HEADS = { maxHeadBytes: 300_000, maxLine: 280_000, maxFields: 160 };

export class H2Conn implements UpstreamConn, RequestSink {
  readonly socket: UpstreamSocket;
  readonly key: string;
  uses: number;
  user: UpstreamUser | null = null;
  kept: object | null = null;
  /** the upstream said that it has not looked at the request (RFC 9113 section 8.7) */
  unprocessed = false;
  /** the exchange is done with it; its stream may still have to end */
  released = false;
  /** the upstream said that its answer ends: without, a stream that is closed is not whole */
  #endStream = false;
  readonly #ask: H2ConnAsk;
  readonly #reader = new RequestReader(this, OUR_HEADS);
  #head: RequestHead | null = null;
  #method = '';
  #stream: ClientHttp2Stream | null = null;
  #trailersUp = '';
  #trailersDown: string | null = '';
  #chunked = false;
  #more = true;
  #headSeen = false;
  #paused = false;
  #error: Error | null = null;
  #gone = false;

  constructor(ask: H2ConnAsk) {
    this.#ask = ask;
    this.key = ask.key;
    this.uses = ask.uses;
    const stream = (): ClientHttp2Stream | null => this.#stream;
    this.socket = {
      write: (bytes, encoding) =>
        this.#write(typeof bytes === 'string' ? Buffer.from(bytes, encoding) : bytes),
      end: () => void stream()?.end(),
      destroy: () => this.abandon(),
      pause: () => this.#flow(false),
      resume: () => this.#flow(true),
      get writableLength() {
        return stream()?.writableLength ?? 0;
      },
    };
  }

  /** The exchange is over, with the whole answer or without: nothing of it is told any more. */
  abandon(): void {
    this.user = null;
    const stream = this.#stream;
    if (stream === null) return this.#leave();
    if (!stream.closed && !stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
  }

  /** The answer is whole: the stream ends by itself, or at the next sweep. */
  release(): void {
    this.user = null;
    this.released = true;
    this.#stream?.resume();
  }

  /** A frame with END_STREAM came; the library has not read it yet. */
  ending(id: number): void {
    if (this.#stream?.id === id) this.#endStream = true;
  }

  // ---- the way up: HTTP/1.1 of our own making

  #write(bytes: Buffer): boolean {
    if (this.#gone || this.#stream?.closed === true) return true;
    this.#more = true;
    this.#stream?.cork();
    this.#reader.feed(bytes);
    this.#begin(false);
    this.#stream?.uncork();
    return this.#more;
  }

  head(head: RequestHead): void {
    this.#head = head;
    this.#method = head.method;
  }

  body(bytes: Buffer): void {
    this.#begin(false);
    if (this.#stream?.destroyed === false) this.#more = this.#stream.write(bytes);
  }

  end(trailers: string): void {
    this.#trailersUp = trailers;
    this.#begin(trailers === '');
    this.#stream?.end();
  }

  fault(): void {
    this.#fail(new Error('our own request head is malformed'));
  }

  #begin(endStream: boolean): void {
    const head = this.#head;
    if (head === null) return;
    this.#head = null;
    const waitForTrailers = !endStream && head.framing.kind === 'chunked';
    try {
      const stream = this.#ask.begin(requestFields(head), { endStream, waitForTrailers });
      this.#stream = stream;
      this.#listen(stream);
    } catch (error) {
      // The connection closed between the take and this line: nothing was sent.
      this.unprocessed = true;
      this.#fail(error instanceof Error ? error : new Error('no stream', { cause: error }));
    }
  }

  // ---- the way down

  #listen(stream: ClientHttp2Stream): void {
    const { reads } = this.#ask;
    const watch = (): void => reads.watch(stream.id ?? 0);
    if (stream.pending) stream.once('ready', watch);
    else watch();
    // Once: the library may ask again while it writes them out, and would throw.
    stream.once('wantTrailers', () => {
      if (stream.destroyed || stream.closed) return;
      this.#guard(() => stream.sendTrailers(fieldRecord(trailerFields(this.#trailersUp))));
    });
    stream.on('response', (_headers: IncomingHttpHeaders, flags: number, raw: unknown) =>
      this.#respond(raw, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0),
    );
    // 100 among them: the library's event for it comes besides.
    stream.on('headers', (_headers: IncomingHttpHeaders, _flags: number, raw: unknown) =>
      this.#respond(raw, false),
    );
    stream.on('trailers', (_headers: IncomingHttpHeaders, _flags: number, raw: unknown) => {
      this.#trailersDown = printTrailers(listOf(raw));
    });
    stream.on('drain', () => this.#guard(() => this.user?.onDrain()));
    stream.on('error', (error: Error) => {
      this.#error = error;
    });
    stream.on('close', () => {
      reads.unwatch(stream.id ?? 0);
      this.unprocessed = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
      this.#leave();
    });
  }

  /** The body. Listened to only behind the head: the library tells of heads a turn later than of bytes. */
  #listenToBody(stream: ClientHttp2Stream): void {
    this.#headSeen = true;
    stream.on('end', () => this.#ended(stream));
    stream.on('data', (bytes: Buffer) => {
      if (stream.readableLength === 0) this.#ask.reads.taken(stream.id ?? 0);
      if (bytes.length === 0) return;
      this.#tell(
        this.#chunked ? Buffer.concat([Buffer.from(chunkHeader(bytes.length)), bytes, CRLF]) : bytes,
      );
    });
    if (this.#paused) stream.pause();
  }

  #flow(on: boolean): void {
    this.#paused = !on;
    if (!this.#headSeen) return;
    if (on) this.#stream?.resume();
    else this.#stream?.pause();
  }

  #respond(raw: unknown, ended: boolean): void {
    const printed = printResponse(listOf(raw), { method: this.#method, ended });
    if (printed === null) return this.#fail(new Error('malformed response head'));
    const final = printed.status >= 200;
    if (final) this.#chunked = printed.chunked;
    const end = ended && printed.chunked ? lastChunk('') : '';
    // Told already: the `end` of the stream that follows says nothing new.
    if (end !== '') this.#chunked = false;
    this.#tell(`${printed.text}\r\n\r\n${end}`);
    if (final && this.#stream !== null) this.#listenToBody(this.#stream);
  }

  #ended(stream: ClientHttp2Stream): void {
    // A stream that was reset ends as well, even with NO_ERROR (RFC 9113 section 8.1); `close` tells of it.
    if (stream.aborted || (stream.rstCode ?? 0) !== 0 || !this.#endStream) return;
    if (this.#trailersDown === null) return this.#fail(new Error('malformed trailers'));
    if (this.#chunked) this.#tell(lastChunk(this.#trailersDown));
    else this.#guard(() => this.user?.onEnd());
  }

  #tell(bytes: string | Buffer): void {
    const told = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    this.#guard(() => this.user?.onData(told));
  }

  #fail(error: Error): void {
    this.#error = error;
    const stream = this.#stream;
    if (stream !== null && !stream.destroyed) stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
    // Behind the turn of whoever wrote.
    else queueMicrotask(() => this.#leave());
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    const { user } = this;
    this.user = null;
    this.#ask.onGone(this);
    this.#guard(() => user?.onClose(this.#error));
  }

  /** I7: an exception in a stage ends this stream, not the process. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (cause) {
      this.#fail(cause instanceof Error ? cause : new Error('upstream user failed', { cause }));
    }
  }
}

function listOf(raw: unknown): string[] {
  return Array.isArray(raw) ? raw.map(String) : [];
}
