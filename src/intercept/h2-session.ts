/**
 * One HTTP/2 connection of a client, inside TLS that we ended (RFC 9113): `node:http2` speaks the protocol, each stream
 * is a session of its own (`h2-stream.ts`), and what the library refuses by itself is recorded and counted here. Push
 * and extended CONNECT are never offered. Made by `terminate.ts`.
 */
import http2 from 'node:http2';
import type tls from 'node:tls';
import { H2Wire } from '../base/h2-wire.ts';
import type { SessionTurn } from '../base/stages.ts';
import { type Denied, denied } from '../flow/reason.ts';
import { FRAME, type Frame } from '../wire/h2-frames.ts';
import { HEAD_LIMITS } from '../wire/http1-fields.ts';
import { ABUSES, errorName } from './h2-fault-words.ts';
import { H2Stream } from './h2-stream.ts';
import { requestRecord } from './request-record.ts';
import type { SessionAsk, SessionDeps } from './session-job.ts';

export type H2SessionAsk = Omit<SessionAsk, 'side' | 'protocol'> & {
  readonly socket: tls.TLSSocket;
  /** whose share of all streams these are */
  readonly group: string;
};

/** A connection without streams. As long as an HTTP/1.1 one without requests. */
const IDLE_MS = 120_000;
/** From the first frame of a header section to its last. */
const SECTION_MS = 10_000;
/** After GOAWAY, without streams, or with a reset that cannot leave: how long the client may take. */
const LEAVE_MS = 5_000;
/** Streams at once; the rest is refused, to be asked again. */
const MAX_STREAMS = 100;
/** Body bytes that a client may send ahead, per stream. */
const STREAM_WINDOW = 128 * 1024;
/** MiB that the library may hold for one connection. */
const MAX_MEMORY = 16;

const OPTIONS: http2.ServerOptions = {
  settings: {
    maxConcurrentStreams: MAX_STREAMS,
    initialWindowSize: STREAM_WINDOW,
    maxHeaderListSize: HEAD_LIMITS.maxHeadBytes,
    enableConnectProtocol: false,
  },
  maxHeaderListPairs: HEAD_LIMITS.maxFields + 8,
  maxSessionMemory: MAX_MEMORY,
  maxSettings: 32,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 200,
  maxOutstandingPings: 4,
  peerMaxConcurrentStreams: 0,
  // What an upstream repeats (`ETag`, `Date`) is passed on as it is; the library would throw.
  strictSingleValueFields: false,
};

export class H2Session {
  readonly #deps: SessionDeps;
  readonly #ask: H2SessionAsk;
  readonly #wire: H2Wire;
  readonly #session: http2.ServerHttp2Session;
  readonly #streams = new Map<number, H2Stream>();
  /** streams that the client began and the library has not shown: malformed ones stay here until it resets them */
  readonly #unseen = new Set<number>();
  #lastBegun = 0;
  #doneUp = 0;
  #doneDown = 0;
  /** monotonic milliseconds */
  #deadline: number;
  #leaving = false;
  #faulted = false;
  #calming = false;

  constructor(deps: SessionDeps, ask: H2SessionAsk) {
    this.#deps = deps;
    this.#ask = ask;
    this.#deadline = deps.clock.mono() + IDLE_MS;
    this.#wire = new H2Wire({
      socket: ask.socket,
      clock: deps.clock,
      peer: 'client',
      came: (frame) => this.#came(frame),
      sent: (frame) => this.#sent(frame),
      onAbuse: (what) => this.#calm(denied('bad_request', `HTTP/2: ${ABUSES[what]}.`)),
    });
    this.#session = http2.performServerHandshake(this.#wire, OPTIONS);
    // What went wrong is told by the GOAWAY that the library sends; both ends of it end in `close`.
    this.#session.on('error', () => this.#wire.destroy());
    this.#session.on('stream', (stream, _headers, flags, raw: unknown) => this.#begin(stream, flags, raw));
    this.#session.on('close', () => setImmediate(() => this.#wire.destroy()));
  }

  get bytesUp(): number {
    let sum = this.#doneUp;
    for (const stream of this.#streams.values()) sum += stream.bytesUp;
    return sum;
  }

  get bytesDown(): number {
    let sum = this.#doneDown;
    for (const stream of this.#streams.values()) sum += stream.bytesDown;
    return sum;
  }

  /** `now`: monotonic milliseconds, about once a second. */
  tick(now: number): void {
    if (this.#wire.destroyed) return this.#linger(now);
    if (this.#calming && now >= this.#deadline) return void this.#ask.socket.destroy();
    for (const stream of this.#streams.values()) stream.tick(now);
    if (this.#isStuck(now)) return void this.#ask.socket.destroy();
    const since = this.#wire.sectionSince;
    if (since > 0 && now - since >= SECTION_MS) return this.#calm(denied('client_timeout'));
    if (this.#streams.size > 0) {
      if (this.#deps.draining()) this.#leave(now);
      return;
    }
    if (this.#leaving && now >= this.#deadline) return void this.#wire.destroy();
    if (now >= this.#deadline || this.#deps.draining()) this.#leave(now);
  }

  /** A reset of ours cannot leave: the client takes nothing at all. */
  #isStuck(now: number): boolean {
    for (const stream of this.#streams.values()) if (stream.stuckFor(now) >= LEAVE_MS) return true;
    return false;
  }

  /** The protocol is over; the socket stays a moment so that the client can read why. */
  #linger(now: number): void {
    if (!this.#leaving) {
      this.#leaving = true;
      this.#deadline = now + LEAVE_MS;
    } else if (now >= this.#deadline) this.#ask.socket.destroy();
  }

  /** GOAWAY: what is open may end, nothing new begins. */
  #leave(now: number): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#deadline = now + LEAVE_MS;
    if (!this.#session.closed && !this.#session.destroyed) this.#session.close();
  }

  #begin(stream: http2.ServerHttp2Stream, flags: number, raw: unknown): void {
    const { id = 0 } = stream;
    this.#unseen.delete(id);
    const { client, flow, words, via, group, onFault } = this.#ask;
    const shared = this.#deps.streams.take(group);
    const onHead = shared ? this.#ask.onHead : this.#overloaded;
    const fields = Array.isArray(raw) ? raw.map(String) : [];
    const ended = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    // Invariant I7: an exception in a stage ends its stream, not the connection of the others.
    try {
      const onRead = (): void => this.#wire.taken(id);
      const ask = { stream, fields, ended, client, flow, words, via, onHead, onFault, onRead };
      const held = new H2Stream(this.#deps, ask);
      if (stream.destroyed) return this.#unused(id, shared);
      this.#streams.set(id, held);
      stream.once('close', () => this.#done(id, held, shared));
    } catch (error) {
      this.#deps.onError(error);
      this.#unused(id, shared);
      stream.on('error', () => {});
      stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    }
  }

  /** Streams of all connections of a group have their share as well: a hundred of each connection add up. */
  readonly #overloaded = (turn: SessionTurn): void => {
    const record = turn.record();
    this.#ask.onFault(record);
    turn.refuse(record, denied('overloaded'));
  };

  #unused(id: number, shared: boolean): void {
    if (shared) this.#deps.streams.give(this.#ask.group);
    this.#wire.unwatch(id);
  }

  #done(id: number, stream: H2Stream, shared: boolean): void {
    this.#streams.delete(id);
    this.#unused(id, shared);
    this.#doneUp += stream.bytesUp;
    this.#doneDown += stream.bytesDown;
    const now = this.#deps.clock.mono();
    this.#deadline = now + (this.#leaving ? LEAVE_MS : IDLE_MS);
  }

  // ---- what the library does by itself

  #came(frame: Frame): void {
    // Behind our GOAWAY the library passes over what begins: it is neither shown nor reset.
    if (this.#leaving || frame.type !== FRAME.headers || frame.stream <= this.#lastBegun) return;
    this.#lastBegun = frame.stream;
    this.#unseen.add(frame.stream);
    this.#wire.watch(frame.stream);
  }

  #sent(frame: Frame): void {
    if (frame.type === FRAME.reset && this.#unseen.has(frame.stream)) {
      // Head and fault in one read: the library shows the stream on the next tick, and its session has the record then.
      const { stream, code } = frame;
      process.nextTick(() => this.#resetUnseen(stream, code));
    }
    if (frame.type === FRAME.goaway && this.#calming) setImmediate(() => this.#session.destroy());
    if (frame.type === FRAME.goaway && frame.code !== http2.constants.NGHTTP2_NO_ERROR) {
      this.#fault(denied('bad_request', `HTTP/2: ${errorName(frame.code)}.`));
    }
  }

  /** A request that the library refused before anyone saw it has a record all the same (invariant I4). */
  #resetUnseen(stream: number, code: number): void {
    if (!this.#unseen.delete(stream)) return;
    this.#wire.unwatch(stream);
    // Asked for more streams at once than we said we serve: nothing was judged, the client asks again.
    if (code === http2.constants.NGHTTP2_REFUSED_STREAM) return;
    const large = code === http2.constants.NGHTTP2_ENHANCE_YOUR_CALM;
    this.#record(
      large ? denied('header_too_large') : denied('bad_request', 'HTTP/2: malformed header section.'),
    );
  }

  /** The client abuses the connection: it hears so once, and the connection ends. */
  #calm(why: Denied): void {
    if (this.#calming) return;
    this.#fault(why);
    this.#calming = true;
    this.#deadline = this.#deps.clock.mono() + LEAVE_MS;
    // It leaves behind what is being written; the session ends once it has (`#sent`), or at the deadline.
    if (!this.#session.destroyed) this.#session.goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  /** One record for what ends a connection, however many frames it took. */
  #fault(why: Denied): void {
    if (this.#faulted) return;
    this.#faulted = true;
    this.#record(why);
  }

  #record(why: Denied): void {
    const record = requestRecord(this.#deps, this.#ask);
    this.#ask.onFault(record);
    record.deny(why);
    record.end({ status: 0, ended: 'refused', reason: why.reason });
  }
}
