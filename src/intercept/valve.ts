/** Why a client's socket is not read now. It is read again when nobody has a reason left. */
import type { SessionSide } from '../base/stages.ts';

export type PauseReason =
  /** enough of later requests is held */
  | 'held'
  /** the upstream is not ready for the body */
  | 'body'
  /** the client has not read its last answer */
  | 'unread';

/** One bit each. */
const BITS: Readonly<Record<PauseReason, number>> = { held: 1, body: 2, unread: 4 };

export class Valve {
  readonly #side: Pick<SessionSide, 'pause' | 'resume'>;
  #reasons = 0;

  constructor(side: Pick<SessionSide, 'pause' | 'resume'>) {
    this.#side = side;
  }

  shut(reason: PauseReason): void {
    if (this.#reasons === 0) this.#side.pause();
    this.#reasons |= BITS[reason];
  }

  open(reason: PauseReason): void {
    if ((this.#reasons & BITS[reason]) === 0) return;
    this.#reasons &= ~BITS[reason];
    if (this.#reasons === 0) this.#side.resume();
  }

  /** Whatever the reasons were: what comes now is thrown away. */
  openWide(): void {
    this.#reasons = 0;
    this.#side.resume();
  }
}
