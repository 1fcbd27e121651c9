/**
 * Counts by up to a few labels whose values come from closed sets: nested Maps keyed by strings that already
 * exist, so that counting on a request's way neither joins nor hashes new ones.
 */
export class Tally {
  readonly #counts = new Map<string, Map<string, number>>();

  add(first: string, second: string, amount = 1): void {
    let inner = this.#counts.get(first);
    if (inner === undefined) {
      inner = new Map();
      this.#counts.set(first, inner);
    }
    inner.set(second, (inner.get(second) ?? 0) + amount);
  }

  /** Adds all of another tally's counts. */
  merge(other: Tally): void {
    for (const [first, second, count] of other.rows()) this.add(first, second, count);
  }

  *rows(): Generator<[string, string, number]> {
    for (const [first, inner] of this.#counts) {
      for (const [second, count] of inner) yield [first, second, count];
    }
  }
}
