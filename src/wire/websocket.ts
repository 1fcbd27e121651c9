/**
 * WebSocket frames (RFC 6455 section 5): a strict reader of either side's stream, and the head of a frame to write.
 * Called by `intercept/` for connections whose messages are looked at. Holds no payload: pieces are handed on as
 * they come, still masked, so a frame of any length costs a few bytes here. Stricter than the RFC nowhere; laxer in
 * that text need not be UTF-8, which is the receiver's to judge.
 */
import { Buffer } from 'node:buffer';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Close codes of RFC 6455 section 7.4.1 that the proxy gives, and 1013 of the IANA registry. */
export const CLOSE = { protocol: 1002, misuse: 1008, tooBig: 1009, tryLater: 1013 } as const;

export type Frame = {
  readonly fin: boolean;
  /** first bit that extensions use: permessage-deflate marks a compressed message with it */
  readonly rsv1: boolean;
  readonly opcode: number;
  /** payload bytes */
  readonly length: number;
  /** 32 bits, first byte highest; null: not masked */
  readonly mask: number | null;
};

export type FrameSink = {
  /** a new frame; `payload` and `end` of it follow */
  frame(frame: Frame): void;
  /** a piece of the payload as it came, never empty, good until the return; `at`: its offset in the payload */
  payload(bytes: Buffer, at: number): void;
  end(frame: Frame): void;
  /** the stream is no WebSocket stream from here on: nothing more is told */
  fault(detail: string): void;
};

export type FrameRules = {
  /** whose bytes these are: a client masks, a server must not (section 5.1) */
  readonly from: 'client' | 'server';
  /** permessage-deflate was agreed on */
  readonly deflate: boolean;
};

/** Ping, pong and close, section 5.5. */
const MAX_CONTROL_BYTES = 125;
const MAX_HEAD_BYTES = 14;

export class FrameReader {
  readonly #rules: FrameRules;
  readonly #sink: FrameSink;
  readonly #head = Buffer.alloc(MAX_HEAD_BYTES);
  #headLength = 0;
  #frame: Frame | null = null;
  #at = 0;
  /** a message began whose last fragment has not come */
  #inMessage = false;
  #stopped = false;
  #paused = false;

  constructor(rules: FrameRules, sink: FrameSink) {
    this.#rules = rules;
    this.#sink = sink;
  }

  /** Is the stream between two frames and still readable. */
  get atBoundary(): boolean {
    return this.#frame === null && this.#headLength === 0 && !this.#stopped;
  }

  /** @returns how many bytes were read: all of them unless `pause` was called meanwhile */
  feed(bytes: Buffer): number {
    this.#paused = false;
    let at = 0;
    while (at < bytes.length && !this.#stopped && !this.#paused) {
      at = this.#frame === null ? this.#readHead(bytes, at) : this.#readPayload(this.#frame, bytes, at);
    }
    return this.#stopped ? bytes.length : at;
  }

  /** From a callback: `feed` returns after this frame. */
  pause(): void {
    this.#paused = true;
  }

  /** Tells nothing more, whatever comes. */
  stop(): void {
    this.#stopped = true;
  }

  #readHead(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length) {
      this.#head[this.#headLength] = bytes[at] ?? 0;
      this.#headLength += 1;
      at += 1;
      // What is wrong in the first two bytes is told before more is waited for.
      const problem = this.#headLength === 2 ? this.#complaint() : null;
      if (problem !== null) return this.#fault(problem, at);
      if (this.#headLength === this.#headSize()) {
        this.#begin();
        return at;
      }
    }
    return at;
  }

  /** Bytes of the head as far as what has come tells. */
  #headSize(): number {
    if (this.#headLength < 2) return MAX_HEAD_BYTES;
    const second = this.#head[1] ?? 0;
    const short = second & 0x7f;
    return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (second >= 0x80 ? 4 : 0);
  }

  #complaint(): string | null {
    const first = this.#head[0] ?? 0;
    const second = this.#head[1] ?? 0;
    const opcode = first & 0x0f;
    const { from, deflate } = this.#rules;
    if ((first & 0x30) !== 0) return 'a reserved bit is set';
    if (second >= 0x80 !== (from === 'client'))
      return 'a frame of a client is masked, one of a server is not';
    if (opcode >= 8) return controlComplaint(first, second & 0x7f);
    if (opcode > OPCODE.binary) return 'unknown opcode';
    const begins = opcode !== OPCODE.continuation;
    if (begins === this.#inMessage) {
      return begins ? 'a message begins inside another' : 'a continuation of no message';
    }
    // RFC 7692 section 6: the bit stands on the first fragment alone.
    if ((first & 0x40) !== 0 && !(deflate && begins)) return 'a reserved bit is set';
    return null;
  }

  #begin(): void {
    const head = this.#head;
    const first = head[0] ?? 0;
    const second = head[1] ?? 0;
    const short = second & 0x7f;
    const length = short === 126 ? head.readUInt16BE(2) : short === 127 ? long(head) : short;
    const size = this.#headLength;
    // Section 5.2: the shortest form, and no sign bit. Past 2^53 no number is exact, and no peer means it.
    if (!isCanonical(short, length)) return void this.#fault('malformed length', 0);
    const opcode = first & 0x0f;
    const frame = {
      fin: first >= 0x80,
      rsv1: (first & 0x40) !== 0,
      opcode,
      length,
      mask: second >= 0x80 ? head.readUInt32BE(size - 4) : null,
    };
    if (opcode < 8) this.#inMessage = !frame.fin;
    this.#frame = frame;
    this.#at = 0;
    this.#headLength = 0;
    this.#sink.frame(frame);
    if (length === 0) this.#finish(frame);
  }

  #readPayload(frame: Frame, bytes: Buffer, from: number): number {
    const to = Math.min(bytes.length, from + frame.length - this.#at);
    const at = this.#at;
    this.#at += to - from;
    this.#sink.payload(bytes.subarray(from, to), at);
    if (this.#at === frame.length) this.#finish(frame);
    return to;
  }

  #finish(frame: Frame): void {
    if (this.#stopped) return;
    this.#frame = null;
    this.#sink.end(frame);
  }

  #fault(detail: string, at: number): number {
    this.#stopped = true;
    this.#sink.fault(detail);
    return at;
  }
}

function controlComplaint(first: number, length: number): string | null {
  if ((first & 0x0f) > OPCODE.pong) return 'unknown opcode';
  if ((first & 0x40) !== 0) return 'a reserved bit is set';
  if (first < 0x80) return 'a control frame is fragmented';
  if (length > MAX_CONTROL_BYTES) return 'a control frame is too long';
  // Section 5.5.1: a code has two bytes.
  return (first & 0x0f) === OPCODE.close && length === 1 ? 'half a close code' : null;
}

function long(head: Buffer): number {
  const high = head.readUInt32BE(2);
  return high > 0x1f_ffff ? -1 : high * 0x1_0000_0000 + head.readUInt32BE(6);
}

function isCanonical(short: number, length: number): boolean {
  if (short === 126) return length > MAX_CONTROL_BYTES;
  return short !== 127 || length > 0xffff;
}

/** The bytes before a frame's payload. */
export function frameHead(frame: Frame): Buffer {
  const { fin, rsv1, opcode, length, mask } = frame;
  const extra = length <= MAX_CONTROL_BYTES ? 0 : length <= 0xffff ? 2 : 8;
  const head = Buffer.alloc(2 + extra + (mask === null ? 0 : 4));
  const short = extra === 0 ? length : extra === 2 ? 126 : 127;
  head[0] = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
  head[1] = (mask === null ? 0 : 0x80) | short;
  if (extra === 2) head.writeUInt16BE(length, 2);
  if (extra === 8) head.writeBigUInt64BE(BigInt(length), 2);
  if (mask !== null) head.writeUInt32BE(mask >>> 0, 2 + extra);
  return head;
}

/** A whole frame. `payload`: not masked; it is left as it is. */
export function wholeFrame(frame: Omit<Frame, 'length'>, payload: Buffer): Buffer {
  const head = frameHead({ ...frame, length: payload.length });
  const whole = Buffer.allocUnsafe(head.length + payload.length);
  head.copy(whole);
  copyMasked(payload, { into: whole, to: head.length, mask: frame.mask ?? 0, at: 0 });
  return whole;
}

/** A server's Close frame, as the proxy sends it to a client. `reason`: ASCII, up to 123 characters. */
export function closeFrame(code: number, reason: string): Buffer {
  const payload = Buffer.alloc(2 + reason.length);
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2, 'latin1');
  return wholeFrame({ fin: true, rsv1: false, opcode: OPCODE.close, mask: null }, payload);
}

/**
 * Copies `bytes` to offset `to` of `into`, each changed by the mask (section 5.3): masks, unmasks, or, with two masks
 * XORed, does both. `at`: offset of `bytes` in the frame's payload.
 */
export function copyMasked(
  bytes: Buffer,
  how: { readonly into: Buffer; readonly to: number; readonly mask: number; readonly at: number },
): void {
  const { into, to, mask, at } = how;
  for (let i = 0; i < bytes.length; i += 1) {
    into[to + i] = (bytes[i] ?? 0) ^ (mask >>> (24 - (((at + i) & 3) << 3)));
  }
}
