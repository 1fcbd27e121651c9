/** What signals do to a running `start`, whether it serves by itself or supervises workers. */
import type { Log } from '../base/log.ts';

/** From the second signal to the end of the process, whatever it is doing then. */
const HURRY_MS = 1_000;

export type Signalled = {
  readonly reload: () => unknown;
  /** locks everybody */
  readonly lockdown: () => unknown;
  /** cuts what is open, while the stop is under way */
  readonly stopNow: () => unknown;
  /** ends what would outlive this process; just before it is killed */
  readonly kill: () => void;
};

/** Resolves when work is to end. From then on another signal means: at once, with the records written. */
export async function untilStopped(running: Signalled, log: Log): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let signals = 0;
  // The handler stays while work drains: without one, SIGHUP would end the process there and then.
  const reload = (): void => {
    if (signals === 0) void running.reload();
  };
  const stop = (signal: NodeJS.Signals): void => {
    signals += 1;
    if (signals === 1) resolve(signal);
    if (signals === 2) hurry(running, { signal, log });
  };
  process.on('SIGHUP', reload);
  process.on('SIGUSR2', () => void running.lockdown());
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const signal = await promise;
  log.info({ signal }, 'stopping: no new connections, open work may end');
}

/** Cuts all flows; their end records are written and the trail is closed by the stop that is under way. */
function hurry(running: Signalled, { signal, log }: { signal: NodeJS.Signals; log: Log }): void {
  log.info({ signal }, 'stopping at once: open work is cut');
  // Whatever hangs (a disk, a client of the admin side): a person who asked twice is not kept waiting.
  setTimeout(() => {
    running.kill();
    process.kill(process.pid, 'SIGKILL');
  }, HURRY_MS).unref();
  void running.stopNow();
}
