/**
 * The way back of one exchange: strict parsing of what the upstream writes, rebuilt framing towards the client,
 * one write per read. Holds no sockets; `exchange.ts` feeds it and acts on `failed` and `complete`.
 */
import { type Denied, denied } from '../flow/reason.ts';
import { scrubFields } from '../secrets/scrub.ts';
import type { Pieces } from '../secrets/stream.ts';
import { codingOf } from '../wire/content-coding.ts';
import type { RequestHead, ResponseFraming, ResponseHead } from '../wire/http1-parse.ts';
import { ResponseReader, type ResponseSink } from '../wire/http1-response-reader.ts';
import { chunkHeader, lastChunk, rebuildResponseHead } from '../wire/http1-write.ts';
import { tellsEncoding } from '../wire/reframe.ts';
import { keepTrailers } from '../wire/trailers.ts';
import { Output, type Sink } from './output.ts';
import { type ScrubAsk, ScrubbedBody, type ScrubbedSink } from './scrubbed-body.ts';

export type LegAsk = {
  /** of minor version 0: its client knows no chunks and no interim responses */
  readonly request: Pick<RequestHead, 'method' | 'minor' | 'keepAlive'>;
  /** is all of the request here: only then may another one follow it */
  readonly up: { readonly done: boolean };
  readonly draining: () => boolean;
  /** judges a 101; null: no upgrade was asked for */
  readonly upgrade: { agree(head: ResponseHead): Denied | null } | null;
  /** null: no key is bound to the host, and all passes as it comes */
  readonly scrub: ScrubAsk | null;
};

/** The leg that is kept with an upstream connection, ready for its next response. */
export function beginLeg(conn: { kept: object | null }, ask: LegAsk): ResponseLeg {
  const leg = conn.kept instanceof ResponseLeg ? conn.kept : new ResponseLeg();
  conn.kept = leg;
  leg.begin(ask);
  return leg;
}

/**
 * How long an encoded body would be tells of a key in it, beside text that a sandbox chose (BREACH). To GET none is
 * told either, since what is decoded goes in chunks.
 */
function bodilessDrop(head: ResponseHead): ((name: string) => boolean) | undefined {
  return codingOf(head.text) === null ? undefined : tellsCodedBody;
}

function tellsCodedBody(name: string): boolean {
  return name === 'content-length' || tellsEncoding(name);
}

const NO_BODY: ResponseFraming = { kind: 'none' };
const UNKNOWN_LENGTH: ResponseFraming = { kind: 'chunked' };
const NOTHING_ASKED: LegAsk = {
  request: { method: '', minor: 1, keepAlive: false },
  up: { done: false },
  draining: () => false,
  upgrade: null,
  scrub: null,
};

export class ResponseLeg implements ResponseSink, ScrubbedSink {
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
  #scrubbed: ScrubbedBody | null = null;
  /** the head that waits for its scrubbed body */
  #final: ResponseHead | null = null;
  /** all came that the upstream has to say */
  received = false;
  #trailers = '';
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
    this.#scrubbed = null;
    this.#final = null;
    this.received = false;
    this.#reader.expect(ask.request.method);
  }

  /** Sends what was collected. False: the client wants a pause. */
  flush(side: Sink): boolean {
    if (this.status !== 0) this.#headLeft = true;
    const more = this.#out.flush(side);
    if (!more) this.#scrubbed?.pause();
    return more && (this.received || this.#scrubbed?.congested !== true);
  }

  /** The client takes more again. */
  resume(): void {
    this.#scrubbed?.resume();
  }

  /** Nobody waits for the response any more. */
  stop(): void {
    this.#scrubbed?.stop();
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
    if (this.#ask.request.minor === 0) return;
    this.#addHead(rebuildResponseHead(head, { keepAlive: true, framing: NO_BODY }));
  }

  head(head: ResponseHead): void {
    if (head.status === 101) return this.#switch(head);
    this.#upstreamKeepAlive = head.keepAlive && head.framing.kind !== 'eof';
    const { scrub } = this.#ask;
    if (scrub === null || scrub.asIs?.(head) === true) return this.#begin(head, head.framing);
    if (head.framing.kind === 'none') return this.#begin(head, NO_BODY, bodilessDrop(head));
    this.#final = head;
    const scrubbed = ScrubbedBody.of(head, scrub, this);
    if ('kind' in scrubbed) return this.fault(scrubbed);
    this.#scrubbed = scrubbed;
  }

  // ---- from the scrubbed body

  bodyReady(length: number | null, drop: ((name: string) => boolean) | undefined): void {
    if (this.#final === null) return;
    this.#begin(this.#final, length === null ? UNKNOWN_LENGTH : { kind: 'length', length }, drop);
  }

  bodyPieces(pieces: Pieces, length: number): void {
    this.bytes += length;
    const chunked = this.#framing.kind === 'chunked';
    if (chunked) this.#out.add(chunkHeader(length));
    for (const piece of pieces) this.#out.add(piece);
    if (chunked) this.#out.add('\r\n');
  }

  body(bytes: Buffer): void {
    if (this.#scrubbed !== null) return this.#scrubbed.feed(bytes);
    this.bytes += bytes.length;
    if (this.#framing.kind !== 'chunked') return this.#out.add(bytes);
    this.#out.add(chunkHeader(bytes.length));
    this.#out.add(bytes);
    this.#out.add('\r\n');
  }

  end(trailers: string): void {
    this.received = true;
    this.#trailers = trailers;
    if (this.#scrubbed === null) this.bodyDone();
    else if (this.failed === null) this.#scrubbed.end();
  }

  fault(why: Denied): void {
    this.failed = why;
  }

  /** The final head goes to the client. */
  #begin(head: ResponseHead, framing: ResponseFraming, drop?: (name: string) => boolean): void {
    const streamed = framing.kind === 'chunked' || framing.kind === 'eof';
    const streamedAs = this.#ask.request.minor === 0 ? 'eof' : 'chunked';
    this.#framing = streamed ? { kind: streamedAs } : framing;
    // What a client sent behind its handshake may be the other protocol's: never read as HTTP (RFC 9931).
    const mayFollow = this.#framing.kind !== 'eof' && this.#ask.upgrade === null;
    const { request, up, draining } = this.#ask;
    this.keepAlive = mayFollow && request.keepAlive && up.done && !draining();
    this.status = head.status;
    this.#addHead(rebuildResponseHead(head, { keepAlive: this.keepAlive, framing: this.#framing, drop }));
  }

  #addHead(text: string): void {
    const { scrub } = this.#ask;
    this.#out.add(scrub === null ? text : scrubFields(text, scrub.patterns(), (env) => scrub.found(env)));
  }

  bodyDone(): void {
    if (this.#framing.kind === 'chunked') {
      const { scrub } = this.#ask;
      const kept = keepTrailers(this.#trailers);
      const isAsIs = kept === '' || scrub === null;
      const lines = isAsIs ? kept : scrubFields(kept, scrub.patterns(), (env) => scrub.found(env));
      this.#out.add(lastChunk(lines));
    }
    this.complete = true;
    this.#settle();
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
    this.#addHead(rebuildResponseHead(head, { keepAlive: true, framing: NO_BODY }));
  }

  #settle(): void {
    // After an answer that did not switch, the upstream may still take what follows for the other protocol.
    const reusable = this.#upstreamKeepAlive && this.#ask.upgrade === null;
    this.reusable = this.complete && reusable && !this.#reader.surplus;
    // An upstream that says more than it was asked may mean it for the next request: neither side is kept.
    if (this.#reader.surplus) this.keepAlive = false;
  }
}
