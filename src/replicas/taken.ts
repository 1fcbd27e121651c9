/**
 * What people did at other replicas, on its way into the record of this one; what comes before there is a record waits
 * for it. Made by `replicas.ts`.
 */
import type { OperatorEvent } from '../audit/event.ts';
import type { Clock } from '../base/clock.ts';
import type { Taken } from './sharer.ts';

const MAX_EARLY = 1_000;

export class TakenRecord {
  readonly #clock: Clock;
  readonly #early: OperatorEvent[] = [];
  #record: ((event: OperatorEvent) => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  take(taken: Taken): void {
    const event = takenEvent(taken, this.#clock.now());
    if (this.#record !== null) this.#record(event);
    else if (this.#early.length < MAX_EARLY) this.#early.push(event);
  }

  /** Gets all from now on, and what came before. */
  into(record: (event: OperatorEvent) => void): void {
    this.#record = record;
    for (const event of this.#early.splice(0)) record(event);
  }
}

/** As it stands in the record of this replica. `now`: milliseconds since the epoch. */
function takenEvent({ by, replica, at, ...what }: Taken, now: number): OperatorEvent {
  const acted = Date.parse(at);
  return {
    kind: 'operator',
    ...what,
    operator: by ?? 'unknown',
    origin: 'replica',
    client: null,
    outcome: 'done',
    actedAt: Number.isFinite(acted) ? acted : now,
    replica,
  };
}
