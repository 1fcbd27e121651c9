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
  /** judges a 101; null: no upgrade was asked for */
  readonly upgrade: { agree(head: ResponseHead): Denied | null } | null;
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
const NOTHING_ASKED: LegAsk = { method: '', clientMinor: 1, upgrade: null, keepAlive: () => false };

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
  /** after a 101 that was agreed to: what came behind it */
  rest: Buffer | null = null;
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
    this.rest = null;
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
    if (head.status === 101) return this.#switch(head);
    const streamed = head.framing.kind === 'chunked' || head.framing.kind === 'eof';
    const streamedAs = this.#ask.clientMinor === 0 ? 'eof' : 'chunked';
    this.#framing = streamed ? { kind: streamedAs } : head.framing;
    this.#upstreamKeepAlive = head.keepAlive && head.framing.kind !== 'eof';
    // What a client sent behind its handshake may be the other protocol's: never read as HTTP (RFC 9931).
    const mayFollow = this.#framing.kind !== 'eof' && this.#ask.upgrade === null;
    this.keepAlive = mayFollow && this.#ask.keepAlive();
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

  /** The client gets the 101 in one write of its own: some read a head from one TLS record only. */
  #switch(head: ResponseHead): void {
    const { upgrade } = this.#ask;
    // Where no upgrade was asked for, nothing may switch protocols (RFC 9110 section 7.8).
    const problem =
      upgrade === null ? denied('upstream_bad_response', 'unsolicited 101') : upgrade.agree(head);
    if (problem !== null) return this.fault(problem);
    this.rest = this.#reader.takeRest();
    this.status = 101;
    this.#out.add(rebuildResponseHead(head, { keepAlive: true, framing: NO_BODY }));
  }

  #settle(): void {
    // After an answer that did not switch, the upstream may still take what follows for the other protocol.
    const reusable = this.#upstreamKeepAlive && this.#ask.upgrade === null;
    this.reusable = this.complete && reusable && !this.#reader.surplus;
    // An upstream that says more than it was asked may mean it for the next request: neither side is kept.
    if (this.#reader.surplus) this.keepAlive = false;
  }
}
