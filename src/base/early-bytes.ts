/**
 * What a client says before it has its answer, or before its upstream is there: kept in order until somebody takes it.
 * All of a group's connections together hold so much and no more, for thousands of them may wait at once. Made by
 * `accept/connect.ts` and `tunnel/tunnel.ts` for each connection.
 */
import type { HeldBytes } from './held-bytes.ts';

/** Of one connection; above it the client is not read. */
const MAX_EARLY_BYTES = 64 * 1024;
const EMPTY = Buffer.alloc(0);

export class EarlyBytes {
  readonly #room: HeldBytes;
  readonly #group: string;
  #parts: Buffer[] | null = null;
  #length = 0;

  /** `group`: whose room it takes. */
  constructor(room: HeldBytes, group: string) {
    this.#room = room;
    this.#group = group;
  }

  /** The client should be paused. */
  get enough(): boolean {
    return this.#length >= MAX_EARLY_BYTES;
  }

  /** Keeps a copy. False: the group has no room left, and nothing was kept. */
  add(bytes: Buffer): boolean {
    if (bytes.length === 0) return true;
    if (!this.#room.take(this.#group, bytes.length)) return false;
    this.#parts ??= [];
    this.#parts.push(Buffer.from(bytes));
    this.#length += bytes.length;
    return true;
  }

  /** Hands over what was kept, and gives the room back. */
  take(): Buffer {
    if (this.#parts === null) return EMPTY;
    const all = Buffer.concat(this.#parts);
    this.#room.give(this.#group, this.#length);
    this.#parts = null;
    this.#length = 0;
    return all;
  }
}
