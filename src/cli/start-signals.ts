/**
 * What signals do to `start`, whether it serves by itself or supervises workers. They are heard from its first step on:
 * one that comes while it starts is obeyed as soon as there is something that can obey.
 */
import type { Log } from '../base/log.ts';
import { Paced } from '../base/paced.ts';

/** From the second signal to the end of the process, whatever it is doing then. */
const HURRY_MS = 1_000;
/** Reloads that are asked for faster than this are one: each reads every file. */
const RELOAD_GAP_MS = 200;

export type Signalled = {
  readonly reload: () => unknown;
  /** locks everybody */
  readonly lockdown: () => unknown;
  /** cuts what is open, while the stop is under way */
  readonly stopNow: () => unknown;
  /** ends what would outlive this process; just before it is killed */
  readonly kill: () => void;
};

export type Signals = {
  /** Resolves when work is to end. From then on another signal means: at once, with the records written. */
  readonly untilStopped: (running: Signalled) => Promise<void>;
};

/** Takes the signals of this process, for good. */
export function hearSignals(log: Log): Signals {
  const stopped = Promise.withResolvers<NodeJS.Signals>();
  let running: Signalled | null = null;
  let stops = 0;
  let wanted = { reload: false, lockdown: false };
  const reloads = new Paced(async () => void (await running?.reload()), RELOAD_GAP_MS);
  const reload = (): void => {
    if (running === null) wanted.reload = true;
    else reloads.ask();
  };
  const lockdown = (): void => {
    if (running === null) wanted.lockdown = true;
    else void running.lockdown();
  };
  const stop = (signal: NodeJS.Signals): void => {
    stops += 1;
    // Its handler stays while work drains: without one, SIGHUP would end the process there and then.
    reloads.close();
    if (stops === 1) stopped.resolve(signal);
    if (stops === 2) hurry(running, { signal, log });
  };
  process.on('SIGHUP', reload);
  process.on('SIGUSR2', lockdown);
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  return {
    async untilStopped(now) {
      running = now;
      const before = wanted;
      wanted = { reload: false, lockdown: false };
      if (before.lockdown) lockdown();
      if (before.reload) reload();
      const signal = await stopped.promise;
      log.info({ signal }, 'stopping: no new connections, open work may end');
    },
  };
}

/** Cuts all flows; their end records are written and the trail is closed by the stop that is under way. */
function hurry(
  running: Signalled | null,
  { signal, log }: { readonly signal: NodeJS.Signals; readonly log: Log },
): void {
  log.info({ signal }, 'stopping at once: open work is cut');
  // Whatever hangs (a disk, a client of the admin side): a person who asked twice is not kept waiting.
  setTimeout(() => {
    running?.kill();
    process.kill(process.pid, 'SIGKILL');
  }, HURRY_MS).unref();
  void running?.stopNow();
}
