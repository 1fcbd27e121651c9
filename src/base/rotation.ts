/**
 * Work that can wait for the next turn of the loop, so that nobody keeps it for long: a client that sends a thousand
 * requests in one write has one of them served at once, and the others here, one by one. Between two turns every
 * socket is looked at. Parties go in rotation, whatever the number of their pieces. Made once by `front.ts`.
 */
import type { Clock } from './clock.ts';

/** How long the pieces of one turn may take together, milliseconds. The last one may go beyond it. */
const TURN_MS = 1;
/** Pieces in one turn, should time stand still. */
const MAX_PIECES = 512;

/** Asked again while it waits, it waits once. */
export type Piece = {
  /** does a part of the work; must not throw, and may ask for another turn */
  inTurn(): void;
};

export class Rotation {
  readonly #clock: Clock;
  /** pieces that wait, by party; the party that is next comes first. A connection has one at most */
  readonly #waiting = new Map<string, Set<Piece>>();
  #due = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Has `piece` do its work in a later turn of the loop. `party`: whose it is. */
  ask(party: string, piece: Piece): void {
    const pieces = this.#waiting.get(party);
    if (pieces === undefined) this.#waiting.set(party, new Set([piece]));
    else pieces.add(piece);
    if (this.#due) return;
    this.#due = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    const until = this.#clock.mono() + TURN_MS;
    let left = MAX_PIECES;
    do this.#next();
    while (--left > 0 && this.#waiting.size > 0 && this.#clock.mono() < until);
    this.#due = this.#waiting.size > 0;
    if (this.#due) setImmediate(() => this.#turn());
  }

  #next(): void {
    for (const [party, pieces] of this.#waiting) {
      this.#waiting.delete(party);
      for (const piece of pieces) {
        pieces.delete(piece);
        if (pieces.size > 0) this.#waiting.set(party, pieces);
        return piece.inTurn();
      }
    }
  }
}
