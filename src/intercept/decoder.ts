/**
 * Undoes one content coding of a stream (RFC 9110 section 8.4.1, RFC 7932, RFC 8878) with back pressure both ways, a
 * cap on how much longer the data may get, and its memory counted against the group. What is malformed, cut off,
 * followed by something else or too good to be true is a failure, never an end. Used by `scrubbed-body.ts` and
 * `swapped-body.ts`.
 */
import zlib from 'node:zlib';
import type { Coding } from '../wire/content-coding.ts';

type Stream = zlib.Gunzip | zlib.Inflate | zlib.InflateRaw | zlib.BrotliDecompress | zlib.ZstdDecompress;

export type DecoderSink = {
  /** a buffer of its own */
  data(bytes: Buffer): void;
  end(): void;
  /** `bad`: malformed or cut off; `large`: longer than the caps allow; `room`: none left. Nothing follows. */
  fail(why: DecodeFailure): void;
  /** more may be fed */
  drain(): void;
};

export type DecodeFailure = 'bad' | 'large' | 'room';

/** Data may become so many times as long once it is longer than the floor: JSON stays below 30. */
export const MAX_RATIO = 200;
export const RATIO_FLOOR_BYTES = 1024 * 1024;
/** Fed and not decoded yet. */
const MAX_WAITING_BYTES = 32 * 1024;
/** What a stream costs from the beginning: state, a window of zlib, and what waits. */
const LEAST_ROOM_BYTES = 64 * 1024;
/** How far back data may refer, which is kept: RFC 7932 section 9.1; RFC 9659 for zstd, which allows much more. */
const WINDOW_BYTES: Readonly<Record<Coding, number>> = {
  gzip: 0,
  deflate: 0,
  br: 16 * 1024 * 1024,
  zstd: 8 * 1024 * 1024,
};
const ZSTD_WINDOW_LOG = 23;
/** Each costs a stream of its own, where they do not arrive apart. */
const MAX_ZSTD_FRAMES = 256;

export class Decoder {
  readonly #coding: Coding;
  readonly #room: { take(bytes: number): boolean };
  readonly #sink: DecoderSink;
  #stream: Stream | null = null;
  /** the stream takes no more: its data is complete, or it was told so */
  #closed = false;
  /** all of its data was given */
  #drained = false;
  #waiting: Buffer[] = [];
  /** of these and of what the stream is working on */
  #waitingBytes = 0;
  #busy = false;
  #choked = false;
  #frames = 0;
  #fed = 0;
  #made = 0;
  #taken = 0;
  #paused = false;
  #ended = false;
  #over = false;

  /** `room`: what it takes there the owner gives back */
  constructor(coding: Coding, room: { take(bytes: number): boolean }, sink: DecoderSink) {
    this.#coding = coding;
    this.#room = room;
    this.#sink = sink;
  }

  /** More was fed than can be taken now. */
  get congested(): boolean {
    return this.#choked && !this.#ended && !this.#over;
  }

  feed(bytes: Buffer): void {
    if (this.#over || bytes.length === 0) return;
    this.#fed += bytes.length;
    // A copy: the buffer of a read is used again before the stream looks at it.
    this.#waiting.push(Buffer.from(bytes));
    this.#waitingBytes += bytes.length;
    this.#choked = this.#waitingBytes > MAX_WAITING_BYTES;
    this.#advance();
  }

  /** Nothing at all is an empty body in any coding. */
  end(): void {
    this.#ended = true;
    this.#advance();
  }

  pause(): void {
    this.#paused = true;
    this.#stream?.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#over) this.#stream?.resume();
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#over = true;
    this.#waiting = [];
    this.#stream?.destroy();
  }

  #advance(): void {
    if (this.#over || this.#busy) return;
    // A peer may send it byte by byte, and each step of the stream costs the same.
    if (this.#waiting.length > 1) this.#waiting = [Buffer.concat(this.#waiting)];
    const [next] = this.#waiting;
    if (next !== undefined) return this.#goOn(next);
    if (!this.#ended) return;
    if (this.#stream === null || (this.#closed && this.#drained)) return this.#finish(() => this.#sink.end());
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.end();
  }

  #goOn(next: Buffer): void {
    if (!this.#closed) return this.#write(next);
    // A frame of zstd may follow another. Of gzip's members the stream knows; all else is not part of the data.
    if (this.#coding !== 'zstd' || this.#frames >= MAX_ZSTD_FRAMES) return this.#fail('bad');
    if (!this.#drained) return;
    this.#stream?.destroy();
    this.#stream = null;
    return this.#write(next);
  }

  #write(bytes: Buffer): void {
    this.#stream ??= this.#open(bytes[0] ?? 0);
    const stream = this.#stream;
    if (stream === null) return;
    this.#waiting.shift();
    this.#busy = true;
    const before = stream.bytesWritten;
    stream.write(bytes, (error) => {
      // `error` is told as an event, too.
      if (this.#over || (error ?? null) !== null) return;
      this.#busy = false;
      const taken = stream.bytesWritten - before;
      this.#waitingBytes -= taken;
      if (taken < bytes.length) {
        this.#closed = true;
        this.#waiting.unshift(bytes.subarray(taken));
      }
      this.#advance();
      if (this.#over || !this.#choked || this.#waitingBytes > MAX_WAITING_BYTES) return;
      this.#choked = false;
      this.#sink.drain();
    });
  }

  #open(first: number): Stream | null {
    if (!this.#takes(LEAST_ROOM_BYTES)) return null;
    const stream = create(this.#coding, first);
    this.#frames += 1;
    this.#closed = false;
    this.#drained = false;
    if (this.#paused) stream.pause();
    stream.on('data', (bytes: Buffer) => this.#data(bytes));
    stream.on('end', () => {
      this.#drained = true;
      this.#advance();
    });
    // zlib tells nothing but malformed and cut off data this way.
    stream.on('error', () => this.#fail('bad'));
    return stream;
  }

  #data(bytes: Buffer): void {
    if (this.#over) return;
    this.#made += bytes.length;
    if (this.#made > Math.max(RATIO_FLOOR_BYTES, this.#fed * MAX_RATIO)) return this.#fail('large');
    if (this.#takes(LEAST_ROOM_BYTES + Math.min(this.#made, WINDOW_BYTES[this.#coding])))
      this.#sink.data(bytes);
  }

  /** Has so much in all. */
  #takes(bytes: number): boolean {
    const more = bytes - this.#taken;
    if (more <= 0) return true;
    if (!this.#room.take(more)) {
      this.#fail('room');
      return false;
    }
    this.#taken = bytes;
    return true;
  }

  #fail(why: DecodeFailure): void {
    this.#finish(() => this.#sink.fail(why));
  }

  #finish(tell: () => void): void {
    if (this.#over) return;
    this.stop();
    tell();
  }
}

function create(coding: Coding, first: number): Stream {
  switch (coding) {
    case 'gzip':
      return zlib.createGunzip();
    case 'deflate':
      // RFC 9110 section 8.4.1.2: zlib data; some send it without the wrapping, whose method would be 8.
      return (first & 0x0f) === 8 ? zlib.createInflate() : zlib.createInflateRaw();
    case 'br':
      return zlib.createBrotliDecompress();
    case 'zstd':
      return zlib.createZstdDecompress({
        params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG },
      });
  }
}
