/** Why a client's socket is not read now. It is read again when nobody has a reason left. */
import type { SessionSide } from '../base/stages.ts';

export type PauseReason =
  /** enough of later requests is held */
  | 'held'
  /** the upstream is not ready for the body */
  | 'body'
  /** the client has not read its last answer */
  | 'unread';

export class Valve {
  readonly #side: Pick<SessionSide, 'pause' | 'resume'>;
  readonly #reasons = new Set<PauseReason>();

  constructor(side: Pick<SessionSide, 'pause' | 'resume'>) {
    this.#side = side;
  }

  shut(reason: PauseReason): void {
    if (this.#reasons.size === 0) this.#side.pause();
    this.#reasons.add(reason);
  }

  open(reason: PauseReason): void {
    if (this.#reasons.delete(reason) && this.#reasons.size === 0) this.#side.resume();
  }

  /** Whatever the reasons were: what comes now is thrown away. */
  openWide(): void {
    this.#reasons.clear();
    this.#side.resume();
  }
}
