/**
 * The read buffer that all plain sockets of a process share. libuv fills it, the callback uses the bytes and
 * returns, and the next read overwrites them: no allocation per read. Where a write could not finish at once
 * the stream still holds the bytes, so the buffer is left to it and a fresh one is handed out (`keep`).
 * Slow readers could pin one large buffer each; above a budget smaller ones are handed out.
 */
const LARGE_BYTES = 256 * 1024;
const SMALL_BYTES = 16 * 1024;
const KEPT_BUDGET_BYTES = 32 * 1024 * 1024;

export class Scratch {
  #buffer = Buffer.allocUnsafeSlow(LARGE_BYTES);
  #keptBytes = 0;

  /** The buffer for the next read, as `net`'s `onread.buffer` wants it. */
  readonly current = (): Buffer => this.#buffer;

  /** The bytes just read are still needed by a pending write. Returns how much to `release` when it ended. */
  keep(): number {
    const kept = this.#buffer.length;
    this.#keptBytes += kept;
    this.#buffer = Buffer.allocUnsafeSlow(this.#keptBytes > KEPT_BUDGET_BYTES ? SMALL_BYTES : LARGE_BYTES);
    return kept;
  }

  release(bytes: number): void {
    this.#keptBytes -= bytes;
    if (this.#buffer.length === SMALL_BYTES && this.#keptBytes <= KEPT_BUDGET_BYTES / 2) {
      this.#buffer = Buffer.allocUnsafeSlow(LARGE_BYTES);
    }
  }

  /** Bytes pinned by unfinished writes. */
  get keptBytes(): number {
    return this.#keptBytes;
  }
}
