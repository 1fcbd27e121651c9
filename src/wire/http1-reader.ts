/**
 * The HTTP/1 machines of the two directions: bytes in, callbacks out, no socket. `accept/` and `intercept/`
 * feed them. The bytes given to `feed()` are in a shared read buffer: what a machine keeps, it copies, and
 * so must a sink. A sink may call `next()`, `expect()` and `takeRest()` from inside its callbacks, but not `feed()`.
 */
import { Buffer } from 'node:buffer';
import { type Denied, denied } from '../flow/reason.ts';
import { BodyReader } from './body-reader.ts';
import { HeadReader } from './head-reader.ts';
import { HEAD_LIMITS, type HeadLimits } from './http1-fields.ts';
import { parseRequestHead, parseResponseHead } from './http1-parse.ts';
import type { RequestSink, ResponseSink } from './http1-sinks.ts';
import { Input } from './input.ts';

export type { HeadLimits } from './http1-fields.ts';
export type { RequestSink, ResponseSink } from './http1-sinks.ts';

/** Held beyond one head: what a client sends ahead (TLS after CONNECT, a pipelined request). */
const MAX_AHEAD_BYTES = 64 * 1024;
const EMPTY: Buffer = Buffer.alloc(0);
const STATUS_LINE_START = 'HTTP/1.';

/** Reads the requests of one client connection, one at a time. */
export class RequestReader {
  #state: 'head' | 'body' | 'hold' | 'done' | 'broken' = 'head';
  #finished = false;
  #held: Buffer = EMPTY;
  /** is the input what was held */
  #owned = false;
  readonly #input = new Input(
    () => this.#step(),
    () => this.#stop('broken'),
  );
  readonly #sink: RequestSink;
  readonly #limits: HeadLimits;
  readonly #heads: HeadReader;
  readonly #body: BodyReader;

  constructor(sink: RequestSink, limits: Partial<HeadLimits> = {}) {
    this.#sink = sink;
    this.#limits = { ...HEAD_LIMITS, ...limits };
    this.#heads = new HeadReader(this.#limits);
    this.#body = new BodyReader(this.#limits, (bytes) => {
      if (this.#state === 'body') sink.body(bytes);
    });
  }

  /** Bytes that wait for `next()`; the caller pauses its socket above a limit of its own. */
  get held(): number {
    return this.#held.length + this.#input.left;
  }

  /** True from the first byte of a head to the end of its body. */
  get midMessage(): boolean {
    if (this.#state === 'body') return true;
    // An empty line by itself is no request yet (RFC 9112 section 2.2).
    return this.#state === 'head' && this.#heads.begun && !'\r\n'.startsWith(this.#heads.start(3));
  }

  /** Delivers what the bytes complete, then holds the rest until `next()`. */
  feed(bytes: Buffer): void {
    this.#owned = false;
    this.#input.run(bytes);
  }

  /** Allows the next message; without effect unless `end()` has been delivered. */
  next(): void {
    if (this.#state !== 'hold') return;
    this.#state = 'head';
    if (this.#input.running) return;
    const held = this.#held;
    this.#held = EMPTY;
    this.#owned = true;
    this.#input.run(held);
    this.#checkFinished();
  }

  /** The client half-closed: what has begun and cannot end is a fault. */
  finish(): void {
    this.#finished = true;
    this.#checkFinished();
  }

  /** From `head()` or later: hands over, as a copy, every byte behind that message, and stops for good. */
  takeRest(): Buffer {
    const rest = this.#held.length > 0 ? this.#held : Buffer.from(this.#input.rest());
    this.#stop('done');
    return rest;
  }

  #step(): void {
    if (this.#state === 'head') this.#readHead();
    else if (this.#state === 'body') this.#readBody();
    else if (this.#state === 'hold') this.#hold();
    else this.#input.skip();
  }

  #readHead(): void {
    const text = this.#heads.read(this.#input.bytes, this.#input.at);
    this.#input.at = this.#heads.next;
    if (text === null) {
      if (this.#heads.problem === 'full') this.#fault(denied('header_too_large'));
      if (this.#heads.problem === 'bad') this.#fault(denied('bad_request', 'malformed request head'));
      return;
    }
    // RFC 9112 section 2.2: one empty line before the request line is tolerated, not two.
    const head = parseRequestHead(text.startsWith('\r\n') ? text.slice(2) : text, this.#limits);
    if ('kind' in head) {
      this.#fault(head);
      return;
    }
    this.#body.start(head.framing);
    this.#state = 'body';
    this.#sink.head(head);
    this.#endWhenDone();
  }

  #readBody(): void {
    this.#input.at = this.#body.feed(this.#input.bytes, this.#input.at);
    if (this.#state !== 'body') return;
    if (this.#body.bad) this.#fault(denied('bad_request', 'malformed chunked body'));
    else this.#endWhenDone();
  }

  /** A sink may have stopped the reader meanwhile: then there is no end to tell. */
  #endWhenDone(): void {
    if (this.#state !== 'body' || !this.#body.done) return;
    this.#state = 'hold';
    this.#sink.end(this.#body.trailers);
  }

  #hold(): void {
    const rest = this.#input.rest();
    this.#input.skip();
    if (this.#held.length + rest.length > this.#limits.maxHeadBytes + MAX_AHEAD_BYTES) {
      this.#fault(denied('bad_request', 'too many bytes sent ahead'));
    } else {
      // What was held before is ours already and needs no second copy.
      this.#held = this.#owned ? rest : Buffer.concat([this.#held, rest]);
    }
  }

  #checkFinished(): void {
    if (this.#finished && this.midMessage) {
      this.#fault(denied('bad_request', 'connection ended inside a request'));
    }
  }

  #fault(fault: Denied): void {
    this.#stop('broken');
    this.#sink.fault(fault);
  }

  #stop(state: 'done' | 'broken'): void {
    this.#state = state;
    this.#held = EMPTY;
    this.#input.skip();
    this.#heads.clear();
  }
}

/** Reads the responses of one upstream connection, each announced by `expect()`. */
export class ResponseReader {
  #state: 'idle' | 'head' | 'body' | 'done' | 'broken' = 'idle';
  #method = '';
  #interims = 0;
  #started = false;
  #headDone = false;
  #surplus = false;
  readonly #input = new Input(
    () => this.#step(),
    () => this.#stop('broken'),
  );
  readonly #sink: ResponseSink;
  readonly #limits: HeadLimits;
  readonly #heads: HeadReader;
  readonly #body: BodyReader;

  constructor(sink: ResponseSink, limits: Partial<HeadLimits> = {}) {
    this.#sink = sink;
    this.#limits = { ...HEAD_LIMITS, ...limits };
    this.#heads = new HeadReader(this.#limits);
    this.#body = new BodyReader(this.#limits, (bytes) => {
      if (this.#state === 'body') sink.body(bytes);
    });
  }

  /**
   * Bytes came that nobody asked for; they are never delivered. Stays true, and is true before `end()` is
   * told, so that such a connection is not used again: the bytes may be the answer to a request to come.
   */
  get surplus(): boolean {
    return this.#surplus;
  }

  /** Has any byte of this response come. */
  get started(): boolean {
    return this.#started;
  }

  /** Has the final head been told. */
  get headDone(): boolean {
    return this.#headDone;
  }

  /** Announces a response to a request of that method. */
  expect(method: string): void {
    if (this.#state === 'head' || this.#state === 'body') throw new Error('a response is still being read');
    if (this.#state === 'idle') this.#state = 'head';
    this.#method = method;
    this.#interims = 0;
    this.#started = false;
    this.#headDone = false;
  }

  feed(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (this.#state === 'head' || this.#state === 'body') this.#started = true;
    else this.#surplus = true;
    this.#input.run(bytes);
  }

  /** The upstream ended: completes a body that ends so, anything else that has begun is a fault. */
  finish(): void {
    if (this.#state === 'body' && this.#body.untilEof) {
      this.#state = 'done';
      this.#sink.end(this.#body.trailers);
    } else if (this.#state === 'head' || this.#state === 'body') {
      this.#fault('connection ended inside a response');
    }
  }

  /** After the head of a 101: hands over, as a copy, the bytes behind it, and stops for good. */
  takeRest(): Buffer {
    const rest = Buffer.from(this.#input.rest());
    this.#stop('done');
    return rest;
  }

  #step(): void {
    if (this.#state === 'head') this.#readHead();
    else if (this.#state === 'body') this.#readBody();
    else this.#input.skip();
  }

  #readHead(): void {
    const text = this.#heads.read(this.#input.bytes, this.#input.at);
    this.#input.at = this.#heads.next;
    if (text === null) {
      const start = this.#heads.start(STATUS_LINE_START.length);
      if (this.#heads.problem !== null) this.#fault('malformed or too large response head');
      // What is not HTTP need not be waited for.
      else if (!STATUS_LINE_START.startsWith(start)) this.#fault('not an HTTP/1 response');
      return;
    }
    const head = parseResponseHead(text, this.#method, this.#limits);
    if ('kind' in head) {
      this.#fault(head.detail ?? 'malformed response head');
    } else if (head.status < 200 && head.status !== 101) {
      if (++this.#interims > this.#limits.maxInterim) this.#fault('too many interim responses');
      else this.#sink.interim(head);
    } else {
      this.#headDone = true;
      this.#body.start(head.framing);
      this.#state = 'body';
      this.#sink.head(head);
      this.#endWhenDone();
    }
  }

  #readBody(): void {
    this.#input.at = this.#body.feed(this.#input.bytes, this.#input.at);
    if (this.#state !== 'body') return;
    if (this.#body.bad) this.#fault('malformed chunked body');
    else this.#endWhenDone();
  }

  #endWhenDone(): void {
    if (this.#state !== 'body' || !this.#body.done) return;
    this.#state = 'idle';
    // Before end(): its callee may expect() the next response, and these bytes must never become it.
    if (!this.#input.atEnd) {
      this.#surplus = true;
      this.#stop('done');
    }
    this.#sink.end(this.#body.trailers);
  }

  #fault(detail: string): void {
    this.#stop('broken');
    this.#sink.fault(denied('upstream_bad_response', detail));
  }

  #stop(state: 'done' | 'broken'): void {
    this.#state = state;
    this.#input.skip();
    this.#heads.clear();
  }
}
