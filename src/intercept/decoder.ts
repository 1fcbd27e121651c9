/**
 * Undoes one content coding of a stream (RFC 9110 section 8.4.1, RFC 7932, RFC 8878) with back pressure both ways and
 * a cap on how much longer the data may get. What is malformed, cut off or too good to be true is a failure, never an
 * end. Used by `scrubbed-body.ts` and `swapped-body.ts`.
 */
import zlib from 'node:zlib';
import type { Coding } from '../wire/content-coding.ts';

type Stream = zlib.Gunzip | zlib.Inflate | zlib.InflateRaw | zlib.BrotliDecompress | zlib.ZstdDecompress;

export type DecoderSink = {
  /** a buffer of its own */
  data(bytes: Buffer): void;
  end(): void;
  /** `bad`: malformed or cut off; `large`: longer than the caps allow. Nothing follows. */
  fail(why: 'bad' | 'large'): void;
  /** more may be fed */
  drain(): void;
};

/** Data may become so many times as long once it is longer than the floor: JSON stays below 30. */
export const MAX_RATIO = 200;
export const RATIO_FLOOR_BYTES = 1024 * 1024;

export class Decoder {
  readonly #coding: Coding;
  readonly #sink: DecoderSink;
  #stream: Stream | null = null;
  #fed = 0;
  #made = 0;
  #paused = false;
  #ended = false;
  #over = false;

  constructor(coding: Coding, sink: DecoderSink) {
    this.#coding = coding;
    this.#sink = sink;
  }

  /** More was fed than can be taken now. */
  get congested(): boolean {
    return !this.#ended && !this.#over && this.#stream?.writableNeedDrain === true;
  }

  feed(bytes: Buffer): void {
    if (this.#over || bytes.length === 0) return;
    this.#fed += bytes.length;
    this.#stream ??= this.#open(bytes[0] ?? 0);
    // A copy: the buffer of a read is used again before the stream looks at it.
    this.#stream.write(Buffer.from(bytes));
  }

  /** Nothing at all is an empty body in any coding. */
  end(): void {
    this.#ended = true;
    if (this.#over) return;
    if (this.#stream !== null) this.#stream.end();
    else this.#finish(() => this.#sink.end());
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
    this.#stream?.destroy();
  }

  #open(first: number): Stream {
    const stream = create(this.#coding, first);
    if (this.#paused) stream.pause();
    stream.on('data', (bytes: Buffer) => this.#data(bytes));
    stream.on('end', () => this.#finish(() => this.#sink.end()));
    // zlib tells nothing but malformed and cut off data this way.
    stream.on('error', () => this.#finish(() => this.#sink.fail('bad')));
    stream.on('drain', () => {
      if (!this.#over) this.#sink.drain();
    });
    return stream;
  }

  #data(bytes: Buffer): void {
    if (this.#over) return;
    this.#made += bytes.length;
    if (this.#made <= Math.max(RATIO_FLOOR_BYTES, this.#fed * MAX_RATIO)) return this.#sink.data(bytes);
    this.#finish(() => this.#sink.fail('large'));
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
      return zlib.createZstdDecompress();
  }
}
