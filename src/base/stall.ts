/**
 * When a flow has lasted long enough without anything moving. Asked by tunnels and exchanges at each tick, so about
 * once a second and never per byte. Two ways to end: nothing moved in either direction, or one receiver has taken
 * nothing of what waits for it, while the other direction may be as busy as it likes.
 */

/** A socket that bytes were written to. */
type Receiver = { readonly writableLength: number };

export type StallAsk = {
  /** monotonic milliseconds of the last byte that was read from either side */
  readonly activeAt: number;
  /** milliseconds */
  readonly idleMs: number;
  readonly client: Receiver;
  readonly upstream: Receiver | null;
};

/** Who is to blame: a receiver that takes nothing, or nobody in particular. */
export type Stalled = 'client' | 'upstream' | 'quiet';

export class StallWatch {
  readonly #client = new Waiting();
  readonly #upstream = new Waiting();
  /** monotonic milliseconds at which a receiver was last seen to have taken something */
  #takenAt = 0;

  /** `now`: monotonic milliseconds. Null: it may go on. */
  look(now: number, ask: StallAsk): Stalled | null {
    const { idleMs } = ask;
    const taken = this.#client.took(now, ask.client);
    const other = this.#upstream.took(now, ask.upstream);
    if (taken || other) this.#takenAt = now;
    if (this.#client.since(now) >= idleMs) return 'client';
    if (this.#upstream.since(now) >= idleMs) return 'upstream';
    if (now - Math.max(ask.activeAt, this.#takenAt) < idleMs) return null;
    if (this.#client.waits) return 'client';
    return this.#upstream.waits ? 'upstream' : 'quiet';
  }
}

/** What waits for one receiver, from look to look. */
class Waiting {
  #bytes = 0;
  #from = 0;

  get waits(): boolean {
    return this.#bytes > 0;
  }

  /** How long nothing has left; 0 while nothing waits. Milliseconds. */
  since(now: number): number {
    return this.waits ? now - this.#from : 0;
  }

  /** Has anything left since the last look. */
  took(now: number, receiver: Receiver | null): boolean {
    const before = this.#bytes;
    this.#bytes = receiver === null ? 0 : unsent(receiver);
    const less = this.#bytes < before;
    if (less || before === 0) this.#from = now;
    return less;
  }
}

/**
 * A write counts in `writableLength` until its last byte is with the kernel, and one may be 256 KiB: how much of it
 * has left is told by the handle alone, which is not documented API (Node's own socket timeouts ask it too). Where
 * it does not tell, a receiver has the limit for one write.
 */
function unsent(receiver: Receiver): number {
  const waiting = receiver.writableLength;
  if (waiting === 0) return 0;
  const handle: unknown = Reflect.get(receiver, '_handle');
  const queued: unknown =
    typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'writeQueueSize') : 0;
  return waiting + (typeof queued === 'number' ? queued : 0);
}
