/**
 * The read buffers that all plain sockets of a process share: libuv fills one, the callback uses the bytes and
 * returns, and the next read of any socket overwrites them. No allocation per read. Each socket holds the buffer that
 * it was given last, so bytes in one are nobody's after the callback: whatever outlives it is copied (`outlet.ts`),
 * and no write may ever hold on to one.
 */
const BULK_BYTES = 256 * 1024;
const SMALL_BYTES = 16 * 1024;
/** Copies that wait for slow peers, in all; above it reads get smaller. */
const WAITING_BUDGET_BYTES = 64 * 1024 * 1024;

export class Scratch {
  readonly #bulk = Buffer.allocUnsafeSlow(BULK_BYTES);
  readonly #small = Buffer.allocUnsafeSlow(SMALL_BYTES);
  /** where bytes are copied for a write that most often ends at once; given away when it did not */
  #copy = Buffer.allocUnsafeSlow(BULK_BYTES);
  #waitingBytes = 0;

  /** For connections on which a message is read: a small read cannot bring more than is worth holding. */
  readonly small = (): Buffer => this.#small;

  /** For tunnels. */
  readonly bulk = (): Buffer => (this.#waitingBytes > WAITING_BUDGET_BYTES ? this.#small : this.#bulk);

  /** A copy of bytes that stand in a read buffer, good until the next call unless `keepCopy` comes first. */
  copy(bytes: Buffer): Buffer {
    bytes.copy(this.#copy);
    return this.#copy.subarray(0, bytes.length);
  }

  /** The last copy is still being written: it is left to the stream. `bytes`: how many wait. */
  keepCopy(bytes: number): void {
    this.#copy = Buffer.allocUnsafeSlow(BULK_BYTES);
    this.#waitingBytes += bytes;
  }

  /** So many bytes wait no longer. */
  release(bytes: number): void {
    this.#waitingBytes -= bytes;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }
}
