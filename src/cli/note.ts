/** Leaves a note of what a command did, for the record of the proxy (`audit/spool.ts`), under the user's name. */
import { userInfo } from 'node:os';
import type { OperatorEvent } from '../audit/event.ts';
import { leaveNote } from '../audit/spool.ts';
import { systemClock } from '../base/clock.ts';
import { createIdSource } from '../base/ulid.ts';
import type { CliIo } from './io.ts';

/** Whoever runs this command. */
export function commandUser(): string {
  try {
    return `cli:${userInfo().username}`;
  } catch {
    // A user id without an entry in the system's list, as in many containers.
    return `cli:${process.getuid?.() ?? 'unknown'}`;
  }
}

type Done = Pick<OperatorEvent, 'action' | 'group' | 'subject' | 'why'> & {
  readonly outcome?: OperatorEvent['outcome'];
};

/** For what is in force already: where it cannot be recorded, this is said, and the command goes on. */
export function noteDone(dir: string, done: Done, io: CliIo): void {
  try {
    noteAction(dir, done);
  } catch (error) {
    io.stderr.write(`sallyport: done, but the record will not tell of it: ${String(error)}\n`);
  }
}

/** `dir`: `state.dir`. Throws the file system's error: what cannot be recorded should not look done. */
export function noteAction(dir: string, done: Done): void {
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
