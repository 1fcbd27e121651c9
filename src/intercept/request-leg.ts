/**
 * The way up of one exchange: the rebuilt head and the body as it comes, framed anew. Holds no sockets;
 * `exchange.ts` says when to send. What comes before the upstream is connected waits here: one read at most,
 * since the client is paused meanwhile.
 */

import type { Pieces } from '../secrets/stream.ts';
import type { RequestFraming } from '../wire/http1-parse.ts';
import { chunkHeader, lastChunk } from '../wire/http1-write.ts';
import { Output, type Sink } from './output.ts';

// RFC 9110 section 9.2.2; a request with a body is never sent twice, whatever its method.
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** What stands between the client's body and the upstream: `swapped-body.ts`, `signed-body.ts`. */
export type BodyRewriter = {
  /** nothing goes up before it says so */
  readonly whole: boolean;
  /** the client should wait */
  readonly congested: boolean;
  feed(bytes: Buffer): void;
  end(): void;
  /** the head as the body goes up */
  reframe(head: string): string;
  pause(): void;
  resume(): void;
  stop(): void;
};

export class RequestLeg {
  /** body bytes that came */
  bytes = 0;
  /** the request is complete */
  done: boolean;
  readonly hasBody: boolean;
  readonly #idempotent: boolean;
  #chunked: boolean;
  readonly #body = new Output();
  #sent = false;
  /** null: the body goes up as it comes */
  #swap: BodyRewriter | null = null;
  #trailers = '';

  constructor(head: { readonly method: string; readonly framing: RequestFraming }) {
    const { framing } = head;
    this.hasBody = framing.kind !== 'none';
    this.done = !this.hasBody;
    this.#chunked = framing.kind === 'chunked';
    this.#idempotent = IDEMPOTENT.has(head.method);
  }

  /**
   * May it be sent once more, after a connection that failed before any answer: on one that may have been stale what
   * is harmless to repeat, and what the upstream says it did nothing with. A body is never sent twice.
   */
  mayRepeat(conn: { readonly uses: number; readonly unprocessed: boolean } | null): boolean {
    if (conn === null || this.hasBody) return false;
    return conn.unprocessed || (conn.uses > 1 && this.#idempotent);
  }

  /** The head was written to an upstream. */
  get sent(): boolean {
    return this.#sent;
  }

  add(bytes: Buffer): void {
    this.bytes += bytes.length;
    if (this.#swap !== null) return this.#swap.feed(bytes);
    if (!this.#chunked) return this.#body.add(bytes);
    this.#body.add(chunkHeader(bytes.length));
    this.#body.add(bytes);
    this.#body.add('\r\n');
  }

  /** @param trailers field lines that may pass, each with its leading CRLF */
  end(trailers: string): void {
    this.#trailers = trailers;
    if (this.#swap === null) this.bodyDone();
    else this.#swap.end();
  }

  /** The body is rewritten on its way: it comes back by `pieces` and `bodyDone`. */
  swapBy(swap: BodyRewriter): void {
    this.#swap = swap;
    if (swap.whole) return;
    this.#chunked = true;
    // Until the upstream is there: few bytes may become many.
    swap.pause();
  }

  /** The body must be whole before anything is sent. */
  get whole(): boolean {
    return this.#swap?.whole === true;
  }

  /** `length`: bytes of all pieces, above 0 */
  pieces(pieces: Pieces, length: number): void {
    if (this.#chunked) this.#body.add(chunkHeader(length));
    for (const piece of pieces) this.#body.add(piece);
    if (this.#chunked) this.#body.add('\r\n');
  }

  bodyDone(): void {
    if (this.#chunked) this.#body.add(lastChunk(this.#trailers));
    this.done = true;
  }

  /** Nothing more is sent. */
  stop(): void {
    this.#swap?.stop();
  }

  /** The upstream takes more again. */
  resume(): void {
    this.#swap?.resume();
  }

  /** Writes the head and what has come of the body, in one piece. False: the upstream wants a pause. */
  send(head: string, upstream: Sink): boolean {
    this.#sent = true;
    const first = new Output();
    first.add(this.#swap?.reframe(head) ?? head);
    first.append(this.#body);
    const more = first.flush(upstream);
    if (more) this.#swap?.resume();
    return more;
  }

  /** Sends what came since. False: the upstream wants a pause. */
  flush(upstream: Sink): boolean {
    const more = this.#body.flush(upstream);
    if (!more) this.#swap?.pause();
    return more && this.#swap?.congested !== true;
  }

  /** The head has to be sent again, on another connection. */
  again(): void {
    this.#sent = false;
  }
}
