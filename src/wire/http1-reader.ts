/**
 * The HTTP/1 machine of a client's connection, as `http1-response-reader.ts` is of an upstream's: bytes in, callbacks
 * out, no socket. `accept/` and `intercept/` feed them. The bytes given to `feed()` are in a shared read buffer: what a
 * machine keeps, it copies, and so must a sink. A sink may call `next()`, `expect()` and `takeRest()` from inside its
 * callbacks, but not `feed()`.
 */
import { Buffer } from 'node:buffer';
import { type Denied, denied } from '../flow/reason.ts';
import { BodyReader } from './body-reader.ts';
import { HeadReader } from './head-reader.ts';
import { HEAD_BOUNDS, HEAD_LIMITS, type HeadLimits } from './http1-fields.ts';
import { parseRequestHead, type RequestHead } from './http1-parse.ts';
import type { RequestSink } from './http1-sinks.ts';
import { Input } from './input.ts';
import { LastHead } from './last-head.ts';

export type { HeadLimits } from './http1-fields.ts';
export type { RequestSink } from './http1-sinks.ts';

/** Held beyond one head: what a client sends ahead (TLS after CONNECT, a pipelined request). */
const MAX_AHEAD_BYTES = 64 * 1024;
const EMPTY: Buffer = Buffer.alloc(0);

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
  readonly #last = new LastHead<RequestHead>();
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
      if (this.#heads.problem === 'full') this.#fault(denied('header_too_large', HEAD_BOUNDS));
      if (this.#heads.problem === 'bad') this.#fault(denied('bad_request', 'malformed request head'));
      return;
    }
    // RFC 9112 section 2.2: one empty line before the request line is tolerated, not two.
    const alone = text.startsWith('\r\n') ? text.slice(2) : text;
    const head = this.#last.of(alone) ?? parseRequestHead(alone, this.#limits);
    if ('kind' in head) {
      this.#fault(head);
      return;
    }
    this.#last.keep(head);
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
