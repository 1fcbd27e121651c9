/** SIGUSR2 locks everybody: for whoever has a shell and nothing else. It never lets anybody go. */
import type { OperatorEvent } from '../audit/event.ts';
import { systemClock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { changeLockdown, EVERYBODY, type LockdownStore } from '../state/lockdown.ts';
import { lockdownEvent } from './record.ts';

const REASON = 'SIGUSR2';

/** In force when it returns, also where it could not be written: then the log says so. */
export async function lockBySignal(
  lockdown: LockdownStore,
  { record, log }: { readonly record: (event: OperatorEvent) => void; readonly log: Log },
): Promise<void> {
  const actedAt = systemClock.now();
  const by = 'signal';
  const done = await changeLockdown(lockdown, { on: true, group: EVERYBODY, by, reason: REASON });
  if (done.changed) {
    const who = { operator: by, origin: by, client: null, outcome: 'done', actedAt } as const;
    record(lockdownEvent({ on: true, group: EVERYBODY, reason: REASON }, who));
  }
  if (done.problem !== null) log.error({ error: done.problem }, 'lockdown: in force, but not written');
}
