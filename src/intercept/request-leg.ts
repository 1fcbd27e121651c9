/**
 * The way up of one exchange: the rebuilt head and the body as it comes, framed anew. Holds no sockets;
 * `exchange.ts` says when to send. What comes before the upstream is connected waits here: one read at most,
 * since the client is paused meanwhile.
 */
import type { RequestFraming } from '../wire/http1-parse.ts';
import { chunkHeader, lastChunk } from '../wire/http1-write.ts';
import { Output, type Sink } from './output.ts';

// RFC 9110 section 9.2.2; a request with a body is never sent twice, whatever its method.
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

export class RequestLeg {
  /** body bytes that came */
  bytes = 0;
  /** the request is complete */
  done: boolean;
  readonly hasBody: boolean;
  readonly #idempotent: boolean;
  readonly #chunked: boolean;
  readonly #body = new Output();
  #sent = false;

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
    if (!this.#chunked) return this.#body.add(bytes);
    this.#body.add(chunkHeader(bytes.length));
    this.#body.add(bytes);
    this.#body.add('\r\n');
  }

  /** @param trailers field lines that may pass, each with its leading CRLF */
  end(trailers: string): void {
    if (this.#chunked) this.#body.add(lastChunk(trailers));
    this.done = true;
  }

  /** Writes the head and what has come of the body, in one piece. False: the upstream wants a pause. */
  send(head: string, upstream: Sink): boolean {
    this.#sent = true;
    const first = new Output();
    first.add(head);
    first.append(this.#body);
    return first.flush(upstream);
  }

  /** Sends what came since. False: the upstream wants a pause. */
  flush(upstream: Sink): boolean {
    return this.#body.flush(upstream);
  }

  /** The head has to be sent again, on another connection. */
  again(): void {
    this.#sent = false;
  }
}
