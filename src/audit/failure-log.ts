/** How the log tells that the record fails: in a few words, however many requests a full disk refuses. Composition hands it to the trail. */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { createSparing } from '../base/sparing.ts';
import { AuditError } from './audit-error.ts';

/** Takes each failure. `count`: hears of every one. */
export function tellFailures(to: {
  readonly log: Log;
  readonly clock: Clock;
  readonly count: () => void;
}): (error: Error) => void {
  const sparing = createSparing(to.clock);
  const say = (error: Error, more: number): void => {
    const fields = more === 0 ? { error: error.message } : { error: error.message, more };
    to.log.error(fields, 'audit: a record could not be written');
  };
  return (error) => {
    to.count();
    // That somebody was at the files is never one of many.
    if (error instanceof AuditError && error.code === 'AUDIT_TAMPERED') say(error, 0);
    else sparing((more) => say(error, more));
  };
}
