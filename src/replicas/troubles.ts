/** What goes wrong between replicas, in the log: each new trouble once, until all went well again. Made by `replicas.ts`. */
import type { Log } from '../base/log.ts';

/** Different words for one trouble that are told. */
const MAX_TOLD = 16;

export class Troubles {
  readonly #log: Log;
  readonly #told = new Set<string>();
  /** entries that no replica wrote, by their kind */
  readonly #strangers = new Map<string, number>();

  constructor(log: Log) {
    this.#log = log;
  }

  tell(why: string): void {
    if (this.#told.has(why) || this.#told.size >= MAX_TOLD) return;
    this.#told.add(why);
    this.#log.error({ why }, 'replicas: nothing is shared; going on with what is known here');
  }

  /** Once for each new number of them. */
  dropped(kind: string, entries: number): void {
    if (entries === (this.#strangers.get(kind) ?? 0)) return;
    this.#strangers.set(kind, entries);
    if (entries === 0) return;
    this.#log.error({ kind, entries }, 'replicas: entries that no replica wrote are in Redis');
  }

  /** Everything was shared. */
  over(): void {
    if (this.#told.size > 0) this.#log.info('replicas: shared again');
    this.#told.clear();
  }
}
