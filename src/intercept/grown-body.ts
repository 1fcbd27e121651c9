/**
 * A body of unknown length, kept until it may go on: in one buffer that grows with what came, for a client may send it
 * byte by byte. Used by `signed-body.ts`.
 */
import type { HeldShare } from '../base/held-bytes.ts';

const FIRST_BYTES = 4 * 1024;

export class GrownBody {
  readonly #most: number;
  readonly #room: HeldShare;
  #buffer = EMPTY;
  #length = 0;

  /** @param most bytes that it may have */
  constructor(most: number, room: HeldShare) {
    this.#most = most;
    this.#room = room;
  }

  /** Takes a copy. `large`: it gets longer than it may; `room`: the group has none left. */
  add(bytes: Buffer): 'large' | 'room' | null {
    const needed = this.#length + bytes.length;
    if (needed > this.#most) return 'large';
    if (needed > this.#buffer.length && !this.#grow(needed)) return 'room';
    bytes.copy(this.#buffer, this.#length);
    this.#length = needed;
    return null;
  }

  /** What came so far. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #grow(needed: number): boolean {
    const size = Math.max(needed, FIRST_BYTES, Math.min(this.#most, this.#buffer.length * 2));
    if (!this.#room.take(size - this.#buffer.length)) return false;
    const grown = Buffer.allocUnsafe(size);
    this.bytes.copy(grown);
    this.#buffer = grown;
    return true;
  }
}

const EMPTY = Buffer.alloc(0);
