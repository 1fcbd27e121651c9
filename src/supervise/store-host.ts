/**
 * The numbers behind limits, kept for all workers by the supervising process. It knows who holds which places, so
 * that those of a worker that died are given back.
 */
import type { StateStore } from '../state/store.ts';
import type { Counted, ToWorker } from './messages.ts';

export class StoreHost {
  readonly #store: StateStore;
  /** worker to key to places */
  readonly #held = new Map<number, Map<string, number>>();

  constructor(store: StateStore) {
    this.#store = store;
  }

  /** Answers what a worker asks, through `tell`. */
  serve(worker: number, message: Counted, tell: (message: ToWorker) => void): void {
    switch (message.kind) {
      case 'take':
        return this.#store.take(message.ask, (first, second) =>
          tell({ kind: 'counted', id: message.id, first, second }),
        );
      case 'spend':
        return this.#store.spend(message.ask, (first, second) =>
          tell({ kind: 'counted', id: message.id, first, second }),
        );
      case 'hold':
        return this.#store.hold(message.ask, (first, second) => {
          if (first) this.#move(worker, message.ask.key, 1);
          tell({ kind: 'counted', id: message.id, first, second });
        });
      case 'release':
        // Only what this worker holds: a place of another's is not its to give.
        if (this.#move(worker, message.key, -1)) this.#store.release(message.key);
    }
  }

  /** The worker is gone, and with it what held its places. */
  gone(worker: number): void {
    for (const [key, places] of this.#held.get(worker) ?? []) {
      for (let place = 0; place < places; place += 1) this.#store.release(key);
    }
    this.#held.delete(worker);
  }

  /** False: it holds none. */
  #move(worker: number, key: string, by: 1 | -1): boolean {
    const mine = this.#held.get(worker) ?? new Map<string, number>();
    const places = (mine.get(key) ?? 0) + by;
    if (places < 0) return false;
    if (places === 0) mine.delete(key);
    else mine.set(key, places);
    this.#held.set(worker, mine);
    return true;
  }
}
