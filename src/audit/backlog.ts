/**
 * The records that wait for the file, in the order they came, and their caps. Used by `writer.ts` alone,
 * which decides when to write; here is what may wait, and who hears of what became of it.
 */
import type { Clock } from '../base/clock.ts';
import type { AuditEvent } from './event.ts';
import { RecordText } from './record-text.ts';

/** Called once: null when the record stands in the file. */
export type Written = (failed: Error | null) => void;

export type Pending = {
  readonly kind: AuditEvent['kind'];
  readonly body: string;
  readonly event: AuditEvent;
  /** null: an end, which nobody waits for */
  readonly written: Written | null;
};

/** Beyond this decisions are refused: the disk does not keep up. */
export const MAX_PENDING_BYTES = 16 * 1_048_576;
/** Ends that wait for the disk to come back; further ones are lost and counted. */
export const MAX_KEPT_ENDS = 10_000;

export class Backlog {
  readonly #clock: Clock;
  readonly #text = new RecordText();
  #queue: Pending[] = [];
  #bytes = 0;
  #stampedAt = Number.NaN;
  #stamp = '';

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#queue.length;
  }

  /** Too much waits to take a decision. */
  get refuses(): boolean {
    return this.#bytes > MAX_PENDING_BYTES;
  }

  /** Too much waits to take even an end. */
  get full(): boolean {
    return this.#bytes > 2 * MAX_PENDING_BYTES;
  }

  add(event: AuditEvent, written: Written | null): void {
    const now = this.#clock.now();
    if (now !== this.#stampedAt) {
      this.#stampedAt = now;
      this.#stamp = new Date(now).toISOString();
    }
    const body = this.#text.of(event, this.#stamp);
    this.#queue.push({ kind: event.kind, body, event, written });
    this.#bytes += body.length;
  }

  /** The oldest records; they count as waiting until `settle` or `keepEnds` is told of them. */
  take(limit = Number.POSITIVE_INFINITY): Pending[] {
    if (this.#queue.length > limit) return this.#queue.splice(0, limit);
    const all = this.#queue;
    this.#queue = [];
    return all;
  }

  /** They stand in the file: `listeners` hear of each event, then its own caller. */
  settle(records: readonly Pending[], listeners: readonly ((event: AuditEvent) => void)[]): void {
    for (const record of records) {
      this.#bytes -= record.body.length;
      for (const listener of listeners) guarded(listener, record.event);
      if (record.written !== null) guarded(record.written, null);
    }
  }

  /**
   * They could not be written: decisions are refused, theirs and those that wait; the oldest ends are kept in
   * front. Returns how many ends found no room.
   */
  putBack(records: readonly Pending[], error: Error): number {
    const all = [...records, ...this.#queue];
    const ends = all.filter((record) => record.written === null);
    this.#queue = ends.slice(0, MAX_KEPT_ENDS);
    const lost = ends.slice(MAX_KEPT_ENDS);
    for (const record of lost) this.#bytes -= record.body.length;
    this.refuse(all, error);
    return lost.length;
  }

  /** Tells the callers of decisions that nothing may rely on their records; ends are left alone. */
  refuse(records: readonly Pending[], error: Error): void {
    for (const record of records) {
      if (record.written === null) continue;
      this.#bytes -= record.body.length;
      guarded(record.written, error);
    }
  }
}

/** One caller's bug must not keep the others from hearing; it surfaces as an uncaught exception. */
function guarded<T>(tell: (told: T) => void, told: T): void {
  try {
    tell(told);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
