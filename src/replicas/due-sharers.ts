/**
 * Which sharers have something to do: because it changed here, because the marks in Redis say that it changed there, because
 * the last time failed, or because it has been long. `replicas.ts` asks at each look.
 */
import type { Clock } from '../base/clock.ts';
import type { Sharer } from './sharer.ts';

/** Read as a whole this often, whatever the marks say: who may write there may leave them alone. */
const READ_EVERY_MS = 15_000;

export class DueSharers {
  readonly #sharers: readonly Sharer[];
  readonly #clock: Clock;
  readonly #due = new Set<Sharer>();
  #marks: ReadonlyMap<string, string> = new Map();
  /** monotonic milliseconds */
  #readAt = 0;

  /** They are run in this order. */
  constructor(sharers: readonly Sharer[], clock: Clock) {
    this.#sharers = sharers;
    this.#clock = clock;
  }

  add(sharer: Sharer): void {
    this.#due.add(sharer);
  }

  addAll(): void {
    for (const sharer of this.#sharers) this.#due.add(sharer);
  }

  /** `marks`: of each kind, as they stand in Redis now; one that changes tells of news. */
  compare(marks: ReadonlyMap<string, string>): void {
    if (this.#clock.mono() - this.#readAt >= READ_EVERY_MS) {
      this.#readAt = this.#clock.mono();
      this.addAll();
    }
    for (const sharer of this.#sharers) {
      if (sharer.kinds.some((kind) => marks.get(kind) !== this.#marks.get(kind))) this.#due.add(sharer);
    }
    this.#marks = marks;
  }

  /** Has each share what it has. What went wrong; those are due again. `stop` is asked before each. Never rejects. */
  async run(stop: () => boolean): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const sharer of this.#sharers) {
      if (stop() || !this.#due.delete(sharer)) continue;
      try {
        await sharer.share();
      } catch (error) {
        this.#due.add(sharer);
        failures.push(error);
      }
    }
    return failures;
  }
}
