/**
 * The rest of a client's connection after our side was ended: read on for a while, because a reset would take the
 * answer away from a client that is still sending. Made by `session.ts` when it closes.
 */
import { Patience } from '../base/link.ts';
import type { SessionSide } from '../base/stages.ts';

/** How much the client may still send before the socket goes. */
const LINGER_BYTES = 1024 * 1024;

export class Linger {
  readonly #side: SessionSide;
  readonly #patience: Patience;
  #left = LINGER_BYTES;

  constructor(side: SessionSide) {
    this.#side = side;
    this.#patience = new Patience(side.unsent);
  }

  /** So many bytes came and are dropped. */
  discard(count: number): void {
    this.#left -= count;
    if (this.#left <= 0) this.#side.destroy();
  }

  /** `now`: monotonic milliseconds */
  tick(now: number): void {
    if (this.#patience.isOver(now)) this.#side.destroy();
  }
}
