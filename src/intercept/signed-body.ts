/**
 * The body of a request that is signed again, on its way up, and the head with its new signature. Where the signature
 * covers the body's hash, the body is held until it is whole; where the head says the hash, the body streams and its end
 * is withheld if it was another; signed chunks get new signatures. Framing and length never change. Used by
 * `key-traffic.ts`; invariants I5 and I6.
 */
import { createHash } from 'node:crypto';
import type { HeldShare } from '../base/held-bytes.ts';
import { type Denied, denied, isDenied } from '../flow/reason.ts';
import { lengthOfPieces } from '../secrets/stream.ts';
import { SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER, SignedChunks } from '../sigv4/chunks.ts';
import { UNSIGNED_PAYLOAD } from '../sigv4/claim.ts';
import type { Resigned, Resigning } from '../sigv4/resign.ts';
import type { RequestFraming } from '../wire/http1-parse.ts';
import { GrownBody } from './grown-body.ts';

export type SignedSink = {
  /** slices of what was fed among them */
  pieces(pieces: Buffer[], length: number): void;
  /** all of the body was told */
  done(): void;
  /** the head is signed: the request may go */
  ready(): void;
  failed(why: Denied): void;
  /** runs what happened outside of a read of the client, and sends what is ready then */
  apart(step: () => void): void;
};

export type SignedAsk = {
  readonly resigning: Resigning;
  /** as it goes upstream but for the signature */
  readonly head: string;
  readonly framing: RequestFraming;
  /** of this exchange alone */
  readonly room: HeldShare;
};

/** Held where the signature covers a hash that the head does not say: DynamoDB, SQS, Lambda and their like. */
const MAX_HELD_BODY_BYTES = 8 * 1024 * 1024;
/** A call whose body is read as well. */
const MAX_READ_BODY_BYTES = 64 * 1024;
const UNSIGNED_TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
const HASH = /^[0-9a-f]{64}$/;

const TOO_LARGE = denied(
  'body_too_large',
  'The body is too large to be signed without X-Amz-Content-Sha256.',
);
const NO_ROOM = denied('overloaded', 'Too many signed bodies of this group are under way.');
const OTHER_BODY = denied('placeholder_wrong_place', 'The body is not the one that was signed.');

/** `hold`: until whole; `hash`: compared at the end; `chunks`: signed one by one; `pass`: not signed. */
type Kind = 'hold' | 'hash' | 'chunks' | 'pass';

export class SignedBody {
  /** nothing goes up before the head is signed */
  readonly whole = true;
  readonly #ask: SignedAsk;
  readonly #sink: SignedSink;
  readonly #kind: Kind;
  readonly #hash = createHash('sha256');
  /** what came before it could go on */
  #held: GrownBody;
  #length = 0;
  #ended = false;
  #over = false;
  /** until the head is on its way nothing is flushed at the end of a read, whose buffer others use then */
  #sent = false;
  #head: string | null = null;
  #chunks: SignedChunks | null = null;

  /** What becomes of the body, or why it cannot be signed again. */
  static of(ask: SignedAsk, sink: SignedSink): SignedBody | Denied {
    const kind = kindOf(ask.resigning);
    if (typeof kind !== 'string') return kind;
    const { framing, resigning } = ask;
    if (kind === 'hold' && framing.kind === 'length' && framing.length > mostOf(resigning)) return TOO_LARGE;
    return new SignedBody(ask, kind, sink);
  }

  private constructor(ask: SignedAsk, kind: Kind, sink: SignedSink) {
    this.#ask = ask;
    this.#kind = kind;
    this.#sink = sink;
    this.#held = new GrownBody(mostOf(ask.resigning), ask.room);
  }

  /** Signs at once where nothing of the body is needed for it. Not before the leg knows this body. */
  start(): void {
    if (this.#kind !== 'hold') this.#sign('', '');
    if (this.#ask.framing.kind === 'none') this.end();
  }

  /** The client should wait. */
  get congested(): boolean {
    return false;
  }

  feed(bytes: Buffer): void {
    if (this.#over) return;
    this.#length += bytes.length;
    switch (this.#kind) {
      case 'hold':
        this.#hash.update(bytes);
        return this.#hold(bytes);
      case 'hash':
        this.#hash.update(bytes);
        return this.#compare(bytes);
      case 'chunks':
        return this.#chunks === null ? this.#hold(bytes) : this.#pass(this.#chunks, bytes);
      case 'pass':
        return this.#tell([this.#kept(bytes)]);
    }
  }

  end(): void {
    if (this.#ended || this.#over) return;
    this.#ended = true;
    if (this.#kind === 'hold') {
      const { readsBody, claim } = this.#ask.resigning;
      if (claim.payload !== null && HASH.test(claim.payload) && !this.#matches())
        return this.#fail(OTHER_BODY);
      const text = readsBody ? this.#held.bytes.toString('latin1') : '';
      return this.#sign(this.#hash.digest('hex'), text);
    }
    if (this.#kind === 'chunks') return this.#chunks === null ? undefined : this.#endChunks(this.#chunks);
    if (this.#kind === 'hash' && !this.#isCompared && !this.#matches()) return this.#fail(OTHER_BODY);
    return this.#sink.done();
  }

  /** The head as it goes up. */
  reframe(head: string): string {
    this.#sent = true;
    return this.#head ?? head;
  }

  pause(): void {}

  resume(): void {}

  stop(): void {
    this.#over = true;
    this.#forget();
    this.#chunks?.stop();
    this.#ask.room.giveBack();
  }

  // ---- the signature

  #sign(hash: string, text: string): void {
    const { resigning, head } = this.#ask;
    resigning.sign(head, { hash, text }).then(
      (signed) => this.#sink.apart(() => this.#take(signed)),
      (error: unknown) =>
        this.#sink.apart(() => {
          throw error;
        }),
    );
  }

  #take(signed: Resigned | Denied): void {
    if (isDenied(signed)) return this.#fail(signed);
    if (this.#over || this.#kind !== 'chunks') {
      signed.own.drop();
      signed.real.drop();
    }
    if (this.#over) return;
    this.#head = signed.head;
    if (this.#kind === 'hold') this.#release();
    if (this.#kind === 'chunks') this.#begin(signed);
    if (!this.#over) this.#sink.ready();
  }

  #release(): void {
    this.#tell([this.#held.bytes]);
    this.#sink.done();
  }

  #forget(): void {
    this.#held = new GrownBody(0, this.#ask.room);
  }

  #begin(signed: Resigned): void {
    const { resigning, room } = this.#ask;
    const { at, scope, payload } = resigning.claim;
    const chunks = new SignedChunks({ at, scope, trailer: payload === SIGNED_CHUNKS_TRAILER, room }, signed);
    this.#chunks = chunks;
    const { bytes } = this.#held;
    this.#forget();
    this.#pass(chunks, bytes);
    if (this.#ended && !this.#over) this.#endChunks(chunks);
  }

  // ---- the body

  #hold(bytes: Buffer): void {
    const why = this.#held.add(bytes);
    if (why !== null) this.#fail(why === 'large' ? TOO_LARGE : NO_ROOM);
  }

  /** The last bytes of a body whose length is known go only if all were what the head said. */
  #compare(bytes: Buffer): void {
    if (this.#isCompared && !this.#matches()) return this.#fail(OTHER_BODY);
    this.#tell([this.#kept(bytes)]);
  }

  #kept(bytes: Buffer): Buffer {
    return this.#sent ? bytes : Buffer.from(bytes);
  }

  get #isCompared(): boolean {
    const { framing } = this.#ask;
    return framing.kind === 'length' && framing.length === this.#length && this.#length > 0;
  }

  #matches(): boolean {
    return this.#hash.copy().digest('hex') === this.#ask.resigning.claim.payload;
  }

  #pass(chunks: SignedChunks, bytes: Buffer): void {
    const out: Buffer[] = [];
    const why = chunks.feed(bytes, out);
    if (why !== null) return this.#fail(why);
    this.#tell(out);
  }

  #endChunks(chunks: SignedChunks): void {
    const why = chunks.end();
    if (why !== null) return this.#fail(why);
    this.#sink.done();
  }

  #tell(pieces: Buffer[]): void {
    const length = lengthOfPieces(pieces);
    if (length > 0) this.#sink.pieces(pieces, length);
  }

  #fail(why: Denied): void {
    this.#over = true;
    this.#sink.failed(why);
  }
}

function mostOf({ readsBody }: Resigning): number {
  return readsBody ? MAX_READ_BODY_BYTES : MAX_HELD_BODY_BYTES;
}

function kindOf(resigning: Resigning): Kind | Denied {
  const { payload } = resigning.claim;
  if (resigning.needsBody) return 'hold';
  if (payload === UNSIGNED_PAYLOAD || payload === UNSIGNED_TRAILER) return 'pass';
  if (payload === SIGNED_CHUNKS || payload === SIGNED_CHUNKS_TRAILER) return 'chunks';
  if (payload !== null && HASH.test(payload)) return 'hash';
  return denied('placeholder_wrong_place', 'A body that is signed in this way cannot be signed again.');
}
