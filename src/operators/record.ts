/**
 * Keeps the record of what people do: notes that commands left, and lockdown files that somebody made or took away by
 * hand. Run by the one process that has the admin side; `admin/` records by itself what comes over its API.
 */
import type { OperatorEvent } from '../audit/event.ts';
import { NoteTaker } from '../audit/spool.ts';
import type { AuditTrail } from '../audit/writer.ts';
import type { Clock } from '../base/clock.ts';
import type { FoundChange, LockdownStore } from '../state/lockdown.ts';

export type RecordKeeper = {
  /** Takes no more. */
  stop(): void;
  /** Once the trail is closed. */
  settle(): void;
};

const TAKE_EVERY_MS = 1_000;

/** `dir`: `state.dir`. */
export function keepRecord(opts: {
  readonly dir: string;
  readonly clock: Clock;
  readonly trail: Pick<AuditTrail, 'operator' | 'healthy'>;
  readonly lockdown: LockdownStore;
}): RecordKeeper {
  const { dir, clock, trail, lockdown } = opts;
  const record = (event: OperatorEvent): void => trail.operator(event);
  const notes = new NoteTaker(dir, record, clock.now);
  const take = (): void => {
    if (trail.healthy()) notes.take();
  };
  const unsubscribe = lockdown.subscribe((found) => {
    for (const change of found) record(foundEvent(change, clock.now()));
  });
  // Made while nobody ran: its maker is not known, but it is in force.
  for (const lock of lockdown.locks().filter(({ by }) => by === 'file')) {
    record(foundEvent({ on: true, lock }, clock.now()));
  }
  take();
  const timer = setInterval(take, TAKE_EVERY_MS).unref();
  let kept = true;
  return {
    stop: () => {
      clearInterval(timer);
      unsubscribe();
      kept = trail.healthy();
    },
    // What a full disk did not take is taken again by the next process.
    settle: () => {
      if (kept) notes.settle();
    },
  };
}

/** A lock or its end, as it stands in the record. */
export function lockdownEvent(
  of: { readonly on: boolean; readonly group: string; readonly reason: string },
  who: Pick<OperatorEvent, 'operator' | 'origin' | 'client' | 'outcome' | 'actedAt'>,
): OperatorEvent {
  const action = of.on ? 'lockdown.on' : 'lockdown.off';
  return { kind: 'operator', action, ...who, group: of.group, subject: null, why: of.reason };
}

function foundEvent({ on, lock }: FoundChange, actedAt: number): OperatorEvent {
  const { group, reason } = lock;
  const who = { operator: 'file', origin: 'file', client: null, outcome: 'done', actedAt } as const;
  return lockdownEvent({ on, group, reason }, who);
}
