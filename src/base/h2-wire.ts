/**
 * The bytes between a TLS socket and `node:http2`, seen on their way: the library answers floods and malformed streams
 * by itself and tells nobody, so the frames are counted here (`wire/h2-abuse.ts`), before it sees them. Used towards
 * clients and towards upstreams; invariant I4.
 */
import type net from 'node:net';
import { Duplex } from 'node:stream';
import { AbuseMeter, type H2Abuse } from '../wire/h2-abuse.ts';
import { FRAME, type Frame, FrameScanner } from '../wire/h2-frames.ts';
import type { Clock } from './clock.ts';

export type H2WireAsk = {
  readonly socket: net.Socket;
  readonly clock: Clock;
  /** who is at the other end */
  readonly peer: 'client' | 'server';
  /** frames of the peer and of ours, before they are acted on; to be read during the call */
  readonly came?: (frame: Frame) => void;
  readonly sent?: (frame: Frame) => void;
  /** told once: nothing of the peer is read any more */
  readonly onAbuse: (what: H2Abuse) => void;
};

/**
 * What the library gets to read in one turn of the loop, counted in frames of a few bytes: each costs it about 20
 * microseconds, on a stream of its own ten times that, and a request begins for twenty times that. One read may hold
 * thousands.
 */
const TURN_COST = 256;
const STREAM_COST = 8;
const REQUEST_COST = 24;
/** Bytes; so that a turn is worth its while. */
const MIN_PORTION = 512;
const EMPTY: Buffer = Buffer.alloc(0);
/** After the end: how much the peer may still send before the socket goes. */
const MAX_DISCARDED = 1024 * 1024;

/**
 * DATA frames of all streams that nobody has read yet. Windows bound their bytes, but a frame of one byte takes a
 * hundred in memory: with 100 streams of 128 KiB that would be more than a GiB for one connection.
 */
const MAX_WAITING = 65_536;

/** Whoever reads a stream says so. */
export type H2Reads = Pick<H2Wire, 'watch' | 'taken' | 'unwatch'>;

export class H2Wire extends Duplex {
  readonly #ask: H2WireAsk;
  readonly #meter = new AbuseMeter();
  readonly #inbound: FrameScanner;
  readonly #outbound: FrameScanner;
  #abused = false;
  /** bytes that came after the end */
  #discarded = 0;
  /** stream to DATA frames that wait for its reader */
  readonly #waiting = new Map<number, number>();
  #waitingInAll = 0;
  /** of the frames that the last read brought */
  #cost = 0;
  #lastStream = 0;
  /** the rest of a read that was too much for one turn, and how much of it makes one; the socket is paused meanwhile */
  #later: Buffer = EMPTY;
  #portion = 0;

  constructor(ask: H2WireAsk) {
    super({ allowHalfOpen: true });
    this.#ask = ask;
    const { peer, clock, socket } = ask;
    this.#inbound = new FrameScanner(peer, (frame) => {
      if (this.#abused) return;
      this.#cost += this.#costOf(frame);
      ask.came?.(frame);
      if (frame.type === FRAME.data && frame.length > 0) this.#wait(frame.stream);
      this.#judge(this.#meter.came(frame, clock.mono()));
    });
    this.#outbound = new FrameScanner(peer === 'client' ? 'server' : 'client', (frame) => {
      ask.sent?.(frame);
      if (!this.#abused) this.#judge(this.#meter.sent(frame, clock.mono()));
    });
    socket.on('data', (bytes: Buffer) => {
      if (this.#abused || this.destroyed) return this.#discard(bytes.length);
      this.#cost = 0;
      this.#inbound.feed(bytes);
      if (this.#abused) return undefined;
      if (this.#cost > TURN_COST || this.#later.length > 0) this.#spread(bytes);
      else if (!this.push(bytes)) socket.pause();
      return undefined;
    });
    socket.on('end', () => {
      if (this.destroyed) socket.destroy();
      else this.push(null);
    });
    socket.on('error', () => this.destroy());
    // Not at once: the library may be in the middle of a write of its own (nodejs/node#27258).
    socket.on('close', () => setImmediate(() => this.destroy()));
  }

  /** Since when the peer leaves a header section unfinished, monotonic milliseconds; 0: it does not. */
  get sectionSince(): number {
    return this.#meter.sectionSince;
  }

  /** A stream begins, or is about to. */
  watch(stream: number): void {
    this.#waiting.set(stream, 0);
  }

  /** Everything that came on a stream so far was read. */
  taken(stream: number): void {
    const frames = this.#waiting.get(stream) ?? 0;
    if (frames === 0) return;
    this.#waitingInAll -= frames;
    this.#waiting.set(stream, 0);
  }

  /** What still comes on the stream is nobody's. */
  unwatch(stream: number): void {
    this.taken(stream);
    this.#waiting.delete(stream);
  }

  #wait(stream: number): void {
    const frames = this.#waiting.get(stream);
    if (frames === undefined) return;
    this.#waiting.set(stream, frames + 1);
    this.#waitingInAll += 1;
    if (this.#waitingInAll > MAX_WAITING) this.#judge('waiting');
  }

  override _read(): void {
    if (!this.#abused && this.#later.length === 0) this.#ask.socket.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#outbound.feed(bytes);
    if (this.#ask.socket.destroyed) done(new Error('the socket is gone'));
    else this.#ask.socket.write(bytes, done);
  }

  /** One TLS record for what the library writes in one go. */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'latin1', done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#ask.socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { socket, peer } = this.#ask;
    if (peer === 'server' || socket.destroyed) socket.destroy();
    else {
      // Read on for a while: closing under a client that still sends would take our GOAWAY away from it.
      socket.end();
      socket.resume();
    }
    done(error);
  }

  #costOf(frame: Frame): number {
    if (frame.type === FRAME.headers) return REQUEST_COST;
    if (frame.stream === this.#lastStream) return 1;
    this.#lastStream = frame.stream;
    return STREAM_COST;
  }

  /** Many small frames: others get their turn in between. */
  #spread(bytes: Buffer): void {
    this.#ask.socket.pause();
    const waiting = this.#later.length > 0;
    this.#later = waiting ? Buffer.concat([this.#later, bytes]) : bytes;
    this.#portion = Math.max(MIN_PORTION, Math.floor((bytes.length * TURN_COST) / Math.max(1, this.#cost)));
    if (!waiting) this.#turn();
  }

  #turn(): void {
    if (this.#abused || this.destroyed) {
      this.#later = EMPTY;
      return;
    }
    const bytes = this.#later.subarray(0, this.#portion);
    this.#later = this.#later.subarray(bytes.length);
    const more = this.push(bytes);
    if (this.#later.length > 0) setImmediate(() => this.#turn());
    else if (more) this.#ask.socket.resume();
  }

  #discard(count: number): void {
    this.#discarded += count;
    if (this.#discarded > MAX_DISCARDED) this.#ask.socket.destroy();
  }

  #judge(what: H2Abuse | null): void {
    if (what === null || this.#abused) return;
    this.#abused = true;
    // Behind the library's turn: this may be inside one of its writes.
    setImmediate(() => this.#ask.onAbuse(what));
  }
}
