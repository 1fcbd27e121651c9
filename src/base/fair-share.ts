/**
 * A cap that one party cannot use up. Half of the places is kept for the parties, the same number for each; the other
 * half is taken by whoever comes first. So every party can always have its part, and one that is alone has
 * nearly everything. Used for whatever a process has a limited number of: connections, lookups under way.
 */
export class FairShare {
  readonly #max: number;
  readonly #taken = new Map<string, number>();
  #total = 0;
  #parties = 1;
  #part: number;
  /** places that parties hold beyond their part */
  #beyond = 0;

  constructor(max: number) {
    this.#max = max;
    this.#part = partOf(max, 1);
  }

  /** How many parties there are from now on. Nobody loses what it holds. */
  divide(parties: number): void {
    this.#parties = Math.max(1, parties);
    this.#part = partOf(this.#max, this.#parties);
    this.#beyond = 0;
    for (const taken of this.#taken.values()) this.#beyond += Math.max(0, taken - this.#part);
  }

  /** One place for `party`. False: it has its part, and what is for everyone is taken. */
  take(party: string): boolean {
    const taken = this.#taken.get(party) ?? 0;
    if (this.#total >= this.#max) return false;
    if (taken >= this.#part) {
      if (this.#beyond >= this.#max - this.#part * this.#parties) return false;
      this.#beyond += 1;
    }
    this.#taken.set(party, taken + 1);
    this.#total += 1;
    return true;
  }

  /** Gives one place of `party` back. */
  give(party: string): void {
    const taken = this.#taken.get(party) ?? 0;
    if (taken === 0) return;
    this.#total -= 1;
    if (taken > this.#part) this.#beyond -= 1;
    if (taken === 1) this.#taken.delete(party);
    else this.#taken.set(party, taken - 1);
  }

  takenBy(party: string): number {
    return this.#taken.get(party) ?? 0;
  }
}

function partOf(max: number, parties: number): number {
  return Math.floor(max / 2 / parties);
}
