/**
 * A WebSocket message that is held until it is whole: in one buffer that grows with the bytes that came, whatever length
 * a frame announces. What is large asks for room. Used by `message-rewriter.ts` and `message-scrubber.ts`, one for each
 * connection.
 */
import { copyMasked } from '../wire/websocket.ts';

/** Held without asking: as much as a read brings anyway. */
const FREE_BYTES = 64 * 1024;
const EMPTY = Buffer.alloc(0);

export type MessageRoom = {
  /** asks for room for a message that has got large, and gives it back */
  readonly take: (bytes: number) => boolean;
  readonly give: (bytes: number) => void;
};

export class HeldMessage {
  readonly #most: number;
  readonly #room: MessageRoom;
  #buffer = EMPTY;
  #length = 0;
  /** room asked for */
  #taken = 0;

  /** @param most bytes that it may have; whoever adds looks at that */
  constructor(most: number, room: MessageRoom) {
    this.#most = most;
    this.#room = room;
  }

  get length(): number {
    return this.#length;
  }

  /** What came so far. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Takes a copy, with the mask undone; `at`: offset in the frame's payload. False: the group has no room left. */
  add(bytes: Buffer, mask: number, at: number): boolean {
    const needed = this.#length + bytes.length;
    if (needed > this.#buffer.length && !this.#grow(needed)) return false;
    if (mask === 0) bytes.copy(this.#buffer, this.#length);
    else copyMasked(bytes, { into: this.#buffer, to: this.#length, mask, at });
    this.#length = needed;
    return true;
  }

  /** Room for so many bytes in all, of the message or of what it becomes. False: the group has none left. */
  takeRoom(bytes: number): boolean {
    const more = bytes - FREE_BYTES - this.#taken;
    if (more <= 0) return true;
    if (!this.#room.take(more)) return false;
    this.#taken += more;
    return true;
  }

  /** Forgets the message and gives its room back. */
  letGo(): void {
    this.#buffer = EMPTY;
    this.#length = 0;
    if (this.#taken > 0) this.#room.give(this.#taken);
    this.#taken = 0;
  }

  #grow(needed: number): boolean {
    const size = Math.max(needed, Math.min(this.#most, this.#buffer.length * 2));
    if (!this.takeRoom(size)) return false;
    const grown = Buffer.allocUnsafe(size);
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
    return true;
  }
}
