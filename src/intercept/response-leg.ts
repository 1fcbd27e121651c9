/**
 * The way back of one exchange: strict parsing of what the upstream writes, rebuilt framing towards the client,
 * one write per read. Holds no sockets; `exchange.ts` feeds it and acts on `failed` and `complete`.
 */
import { type Denied, denied } from '../flow/reason.ts';
import type { ResponseFraming, ResponseHead } from '../wire/http1-parse.ts';
import { ResponseReader, type ResponseSink } from '../wire/http1-reader.ts';
import { chunkHeader, lastChunk, rebuildResponseHead } from '../wire/http1-write.ts';
import { keepTrailers } from '../wire/trailers.ts';
import { Output, type Sink } from './output.ts';

export type LegAsk = {
  readonly method: string;
  /** minor version that the client speaks: 1.0 knows no chunks and no interim responses */
  readonly clientMinor: 0 | 1;
  /** asked when the response head is there: may the client's connection go on afterwards */
  readonly keepAlive: () => boolean;
};

/** The leg that is kept with an upstream connection, ready for its next response. */
export function beginLeg(conn: { kept: object | null }, ask: LegAsk): ResponseLeg {
  const leg = conn.kept instanceof ResponseLeg ? conn.kept : new ResponseLeg();
  conn.kept = leg;
  leg.begin(ask);
  return leg;
}

const NO_BODY: ResponseFraming = { kind: 'none' };
const NOTHING_ASKED: LegAsk = { method: '', clientMinor: 1, keepAlive: () => false };

export class ResponseLeg implements ResponseSink {
  /** status of the final response once its head was passed on; 0 before */
  status = 0;
  /** body bytes */
  bytes = 0;
  keepAlive = false;
  complete = false;
  failed: Denied | null = null;
  /** may the upstream connection serve another request */
  reusable = false;
  #headLeft = false;
  #ask = NOTHING_ASKED;
  #framing: ResponseFraming = NO_BODY;
  #upstreamKeepAlive = false;
  readonly #out = new Output();
  readonly #reader = new ResponseReader(this);

  /** Makes ready for the next response of the same upstream connection. */
  begin(ask: LegAsk): void {
    this.#ask = ask;
    this.status = 0;
    this.bytes = 0;
    this.keepAlive = false;
    this.complete = false;
    this.failed = null;
    this.reusable = false;
    this.#headLeft = false;
    this.#framing = NO_BODY;
    this.#upstreamKeepAlive = false;
    this.#reader.expect(ask.method);
  }

  /** Sends what was collected. False: the client wants a pause. */
  flush(side: Sink): boolean {
    if (this.status !== 0) this.#headLeft = true;
    return this.#out.flush(side);
  }

  /** Takes back a head that has not left yet, so that a refusal can stand in its place. */
  recall(): void {
    if (this.#headLeft) return;
    this.#out.drop();
    this.status = 0;
    this.bytes = 0;
  }

  /** Has the upstream written any byte of this response. */
  get started(): boolean {
    return this.#reader.started;
  }

  feed(bytes: Buffer): void {
    this.#reader.feed(bytes);
    this.#settle();
  }

  /** The upstream ended its side. */
  finish(): void {
    this.#upstreamKeepAlive = false;
    if (!this.complete) this.#reader.finish();
    this.#settle();
  }

  interim(head: ResponseHead): void {
    if (this.#ask.clientMinor === 0) return;
    this.#out.add(rebuildResponseHead(head, { keepAlive: true, framing: { kind: 'none' } }));
  }

  head(head: ResponseHead): void {
    // No upgrade was asked for, so nothing may switch protocols (RFC 9110 section 7.8).
    if (head.status === 101) return this.fault(denied('upstream_bad_response', 'unsolicited 101'));
    const streamed = head.framing.kind === 'chunked' || head.framing.kind === 'eof';
    const streamedAs = this.#ask.clientMinor === 0 ? 'eof' : 'chunked';
    this.#framing = streamed ? { kind: streamedAs } : head.framing;
    this.#upstreamKeepAlive = head.keepAlive && head.framing.kind !== 'eof';
    this.keepAlive = this.#framing.kind !== 'eof' && this.#ask.keepAlive();
    this.status = head.status;
    this.#out.add(rebuildResponseHead(head, { keepAlive: this.keepAlive, framing: this.#framing }));
  }

  body(bytes: Buffer): void {
    this.bytes += bytes.length;
    if (this.#framing.kind !== 'chunked') return this.#out.add(bytes);
    this.#out.add(chunkHeader(bytes.length));
    this.#out.add(bytes);
    this.#out.add('\r\n');
  }

  end(trailers: string): void {
    if (this.#framing.kind === 'chunked') this.#out.add(lastChunk(keepTrailers(trailers)));
    this.complete = true;
  }

  fault(why: Denied): void {
    this.failed = why;
  }

  #settle(): void {
    this.reusable = this.complete && this.#upstreamKeepAlive && !this.#reader.surplus;
    // An upstream that says more than it was asked may mean it for the next request: neither side is kept.
    if (this.#reader.surplus) this.keepAlive = false;
  }
}
