/**
 * Compressed messages of one side as plain bytes, and a client's back (RFC 7692 section 7.2). What was looked at is what is sent:
 * a message is always written anew, with no reference to earlier ones, so the upstream's window need not be ours.
 * Synchronous on purpose: sizes are capped so that one message takes a few milliseconds.
 */
import zlib from 'node:zlib';
import { errorCode } from '../base/error-code.ts';
import type { DeflateTerms } from '../wire/deflate-terms.ts';

/** Section 7.2.1: what the sender cut off. */
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const WINDOW_BYTES = 32_768;
/**
 * A message may become so many times as long, once it is longer than the floor: the format allows 1,032, which
 * would let few bytes of a sandbox cost much work; JSON stays below 30.
 */
const MAX_RATIO = 200;
const RATIO_FLOOR_BYTES = 256 * 1024;
/** Below it compression gains nothing, above it it takes too long for the others on this thread. */
const COMPRESS_BYTES = { least: 256, most: 1024 * 1024 };
const LEVEL = 3;
/** zlib cannot write raw data for the smallest window. */
const LEAST_BITS = 9;

/** Of the side whose messages these are. */
export type CodecTerms = Pick<DeflateTerms, 'takeover' | 'windowBits'>;

export class MessageCodec {
  readonly #terms: CodecTerms;
  #window: Buffer | null = null;

  constructor(terms: CodecTerms) {
    this.#terms = terms;
  }

  /** @returns the message; `bad` where the data is malformed, `large` where it would be longer than allowed */
  inflate(data: Buffer, maxBytes: number): Buffer | 'bad' | 'large' {
    const most = Math.min(maxBytes, Math.max(RATIO_FLOOR_BYTES, data.length * MAX_RATIO));
    try {
      const plain = zlib.inflateRawSync(Buffer.concat([data, TAIL]), {
        finishFlush: zlib.constants.Z_SYNC_FLUSH,
        maxOutputLength: most,
        ...(this.#window === null ? {} : { dictionary: this.#window }),
      });
      if (this.#terms.takeover) this.#remember(plain);
      return plain;
    } catch (error) {
      // zlib throws for nothing else but these two.
      return errorCode(error) === 'ERR_BUFFER_TOO_LARGE' ? 'large' : 'bad';
    }
  }

  /** Null: to be sent as it is, which every receiver takes (section 6). */
  deflate(plain: Buffer): Buffer | null {
    const { windowBits } = this.#terms;
    if (plain.length < COMPRESS_BYTES.least || plain.length > COMPRESS_BYTES.most) return null;
    if (windowBits < LEAST_BITS) return null;
    const finishFlush = zlib.constants.Z_SYNC_FLUSH;
    const data = zlib.deflateRawSync(plain, { windowBits, level: LEVEL, finishFlush });
    return data.subarray(0, data.length - TAIL.length);
  }

  #remember(plain: Buffer): void {
    if (plain.length === 0) return;
    const fresh = plain.subarray(-WINDOW_BYTES);
    const before = this.#window ?? fresh.subarray(0, 0);
    const room = WINDOW_BYTES - fresh.length;
    // A copy: the whole message must not stay in memory with its end.
    this.#window = Buffer.concat([before.subarray(Math.max(0, before.length - room)), fresh]);
  }
}
