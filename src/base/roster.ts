/**
 * Objects that come and go by the thousand a second: each knows its place in one array. Not a Set or a Map of them:
 * those replace their tables as members come and go, every table points to the one that replaced it, and the
 * collector of young objects takes a dead table that has grown old for a living one. So all members that it ever
 * held, with everything behind them, stayed in memory until the next full collection.
 */

/** `place` belongs to the roster alone. */
export type Listed = { place: number };

/** `place` of what is in no roster. */
export const UNLISTED = -1;

export class Roster<T extends Listed> {
  readonly #members: T[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** Does nothing when it is there already. */
  add(member: T): void {
    if (member.place !== UNLISTED) return;
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** False: it was not there. The last member takes its place. */
  delete(member: T): boolean {
    const { place } = member;
    if (place === UNLISTED) return false;
    member.place = UNLISTED;
    const last = this.#members.pop();
    if (last !== undefined && last !== member) {
      last.place = place;
      this.#members[place] = last;
    }
    return true;
  }

  /** Those that are there now, in no order; who leaves later stays in the list that was given. */
  all(): T[] {
    return [...this.#members];
  }
}
