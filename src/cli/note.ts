/** Leaves a note of what a command did, for the record of the proxy (`audit/spool.ts`), under the user's name. */
import { userInfo } from 'node:os';
import type { OperatorEvent } from '../audit/event.ts';
import { leaveNote } from '../audit/spool.ts';
import { systemClock } from '../base/clock.ts';
import { createIdSource } from '../base/ulid.ts';

/** Whoever runs this command. */
export function commandUser(): string {
  try {
    return `cli:${userInfo().username}`;
  } catch {
    // A user id without an entry in the system's list, as in many containers.
    return `cli:${process.getuid?.() ?? 'unknown'}`;
  }
}

/** `dir`: `state.dir`. Throws the file system's error: what cannot be recorded should not look done. */
export function noteAction(
  dir: string,
  done: Pick<OperatorEvent, 'action' | 'group' | 'subject' | 'why'> & {
    readonly outcome?: OperatorEvent['outcome'];
  },
): void {
  const event: OperatorEvent = {
    kind: 'operator',
    outcome: 'done',
    ...done,
    operator: commandUser(),
    origin: 'cli',
    client: null,
    actedAt: systemClock.now(),
  };
  leaveNote(dir, createIdSource(systemClock)(), event);
}
