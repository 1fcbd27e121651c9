/**
 * Frame headers of one direction of an HTTP/2 connection (RFC 9113 section 4.1), read beside the library that does
 * the protocol: what it answers by itself would else be seen by nobody. Payloads are skipped, but for the error code
 * of RST_STREAM and GOAWAY. Fed by `base/h2-wire.ts`; pure.
 */
import { Buffer } from 'node:buffer';

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 } as const;

/** One object for all frames: to be read during the call. */
export type Frame = { type: number; flags: number; stream: number; length: number; code: number };

/** The client's first bytes (RFC 9113 section 3.4); a frame only after them. */
const PREFACE_BYTES = 24;
const HEADER_BYTES = 9;
/** of a GOAWAY: last stream and code */
const MAX_TAKEN = HEADER_BYTES + 8;

export class FrameScanner {
  readonly #tell: (frame: Frame) => void;
  readonly #frame: Frame = { type: 0, flags: 0, stream: 0, length: 0, code: 0 };
  readonly #taken = Buffer.alloc(MAX_TAKEN);
  #have = 0;
  #need = HEADER_BYTES;
  /** payload bytes to pass over */
  #skip: number;

  /** @param from the client's side begins with its preface */
  constructor(from: 'client' | 'server', tell: (frame: Frame) => void) {
    this.#tell = tell;
    this.#skip = from === 'client' ? PREFACE_BYTES : 0;
  }

  feed(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#skip > 0) {
        const passed = Math.min(this.#skip, bytes.length - at);
        this.#skip -= passed;
        at += passed;
        continue;
      }
      const count = Math.min(this.#need - this.#have, bytes.length - at);
      bytes.copy(this.#taken, this.#have, at, at + count);
      this.#have += count;
      at += count;
      if (this.#have === this.#need) this.#took();
    }
  }

  #took(): void {
    const frame = this.#frame;
    const taken = this.#taken;
    if (this.#need === HEADER_BYTES) {
      frame.length = taken.readUIntBE(0, 3);
      frame.type = taken[3] ?? 0;
      frame.flags = taken[4] ?? 0;
      frame.stream = taken.readUInt32BE(5) & 0x7fff_ffff;
      frame.code = 0;
      const wanted = frame.type === FRAME.reset ? 4 : frame.type === FRAME.goaway ? 8 : 0;
      if (wanted > 0 && frame.length >= wanted) {
        this.#need = HEADER_BYTES + wanted;
        return;
      }
      this.#skip = frame.length;
    } else {
      frame.code = taken.readUInt32BE(this.#need - 4);
      this.#skip = frame.length - (this.#need - HEADER_BYTES);
    }
    this.#need = HEADER_BYTES;
    this.#have = 0;
    this.#tell(frame);
  }
}
