/**
 * The HTTP/1 machine of an upstream's connection: bytes in, callbacks out, no socket. `intercept/` feeds it. What holds for
 * buffers and callbacks of `http1-reader.ts` holds here.
 */
import { Buffer } from 'node:buffer';
import { denied } from '../flow/reason.ts';
import { BodyReader } from './body-reader.ts';
import { HeadReader } from './head-reader.ts';
import { HEAD_LIMITS, type HeadLimits } from './http1-fields.ts';
import { parseResponseHead, type ResponseHead } from './http1-parse.ts';
import type { ResponseSink } from './http1-sinks.ts';
import { Input } from './input.ts';
import { LastHead } from './last-head.ts';

export type { ResponseSink } from './http1-sinks.ts';

const STATUS_LINE_START = 'HTTP/1.';

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
  readonly #last = new LastHead<ResponseHead>();
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
    const head = this.#last.of(text, this.#method) ?? parseResponseHead(text, this.#method, this.#limits);
    if ('kind' in head) {
      this.#fault(head.detail ?? 'malformed response head');
      return;
    }
    this.#last.keep(head, this.#method);
    if (head.status < 200 && head.status !== 101) {
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
