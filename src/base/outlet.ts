/**
 * One socket's way out for bytes that stand in a shared read buffer. They are copied once, into a buffer that is
 * used again when the write ended at once, as nearly all do; a slow peer keeps its copy.
 */
import type net from 'node:net';
import type { Scratch } from './scratch.ts';

/** Below this a fresh small buffer is cheaper than pinning a large one under a slow peer. */
const SMALL_BYTES = 16 * 1024;

export class Outlet {
  readonly #socket: net.Socket;
  readonly #scratch: Scratch;
  #waiting = 0;

  constructor(socket: net.Socket, scratch: Scratch) {
    this.#socket = socket;
    this.#scratch = scratch;
  }

  /** False: pause the other side until the socket drains. */
  write(bytes: Buffer): boolean {
    if (bytes.length <= SMALL_BYTES) return this.#write(Buffer.from(bytes), false);
    return this.#write(this.#scratch.copy(bytes), true);
  }

  /** The socket drained or is gone. */
  release(): void {
    if (this.#waiting === 0) return;
    this.#scratch.release(this.#waiting);
    this.#waiting = 0;
  }

  #write(bytes: Buffer, isShared: boolean): boolean {
    const more = this.#socket.write(bytes);
    if (this.#socket.writableLength === 0) this.release();
    else if (isShared) {
      this.#waiting += bytes.length;
      this.#scratch.keepCopy(bytes.length);
    }
    return more;
  }
}
