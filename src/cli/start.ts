/**
 * `start`: makes what is missing, runs the proxy and the admin side until a signal ends them. SIGHUP reloads; SIGUSR2 locks down;
 * SIGTERM and SIGINT drain, a second one (either after either) cuts what is open and ends at once.
 */
import path from 'node:path';
import type { Command } from 'commander';
import { listChains, tendOtherChains, workerChain } from '../audit/chains.ts';
import type { OperatorEvent } from '../audit/event.ts';
import { systemClock } from '../base/clock.ts';
import { createLog, type Log } from '../base/log.ts';
import type { Settings } from '../config/settings.ts';
import { createControl } from '../control.ts';
import { startProxy } from '../lifecycle.ts';
import { createNotices } from '../notices.ts';
import { lockBySignal } from '../operators/signal.ts';
import { ensureInstall } from './install.ts';
import type { CliIo } from './io.ts';
import { CONFIG, settingsFor } from './load.ts';
import { openAdmin } from './start-admin.ts';
import { joinReplicas, openReplicasOf } from './start-replicas.ts';
import { hearSignals } from './start-signals.ts';
import { telemetryFor } from './start-telemetry.ts';
import { greeting, toCliError } from './start-text.ts';
import { startWorkers, workersOf } from './start-workers.ts';
import { unusedUnlock } from './vault-open.ts';
import { programVersion } from './version.ts';

export function addStart(program: Command, io: CliIo): void {
  program
    .command('start')
    .description('run the proxy and the admin side; makes what is missing')
    .option(...CONFIG)
    .addHelpText('after', '\nExample:\n  $ sallyport start --config /etc/sallyport/sallyport.yaml\n')
    .action((options: { config?: string }) => start(settingsFor(options.config, io), io));
}

async function start(settings: Settings, io: CliIo): Promise<void> {
  const log = createLog({ stream: io.stderr });
  const signals = hearSignals(log);
  const installed = ensureInstall(settings, { now: Date.now(), env: io.env });
  const unused = unusedUnlock(settings.state.dir, io.env);
  if (unused !== null) log.warn(unused);
  await tendOldChains(settings, log);
  const { authority, placeholderKey, adminToken: token } = installed;
  const version = programVersion();
  const telemetry = await telemetryFor(io.env, version);
  const replicas = await openReplicasOf(settings, { env: io.env, log, version });
  if (workersOf(settings) > 1)
    return startWorkers(settings, io, { log, signals, token, version, telemetry, replicas });
  const proxy = await startProxy({
    settings,
    log,
    version,
    authority,
    placeholderKey,
    env: io.env,
    telemetry,
    ...(replicas === null ? {} : { store: replicas.store }),
  }).catch(async (error: unknown) => {
    await replicas?.close();
    return toCliError(error);
  });
  const stops: (() => Promise<void>)[] = [
    () => proxy.stop(),
    async () => await replicas?.close(),
    async () => telemetry?.stop(),
  ];
  try {
    const { metrics, state, snapshots } = proxy.parts;
    const notices = createNotices({ settings, clock: systemClock, log, metrics });
    stops.unshift(() => notices.close());
    proxy.parts.approvals.subscribe(notices.take);
    const record = (event: OperatorEvent): void => proxy.parts.trail.operator(event);
    const control = createControl(proxy);
    const policies = (): string[] => {
      const now = snapshots.current();
      return now === null ? [] : [now.set.hash];
    };
    const shown =
      replicas === null ? control : joinReplicas(replicas, { control, metrics, record, policies });
    const answers = { control: shown, metrics, token, record, onStranger: metrics.stranger };
    const own = await openAdmin({ settings, log, claim: replicas?.claimCode ?? null }, answers, stops);
    state.listeners.push(...own);
    const set = snapshots.current()?.set ?? null;
    io.stdout.write(greeting(settings, { version, proxy: proxy.address, admin: own[0], set, workers: 1 }));
    const lockdown = (): Promise<void> => lockBySignal(proxy.parts.lockdown, { record, log });
    const stopNow = (): Promise<void> => proxy.stopNow();
    await signals.untilStopped({ reload: () => proxy.reload(), lockdown, stopNow, kill: () => {} });
  } finally {
    for (const stop of stops) await stop();
  }
  return undefined;
}

/** Chains of an earlier run with another number of workers: nobody else writes there now. */
async function tendOldChains(settings: Settings, log: Log): Promise<void> {
  const root = path.join(settings.state.dir, 'audit');
  const workers = workersOf(settings);
  const seats = Array.from({ length: workers }, (_, index) => workerChain(root, index + 1));
  // The supervising process has a chain of its own, in the root.
  const own = workers > 1 ? [root, ...seats] : [root];
  for (const dir of listChains(root, own)) log.error({ dir }, 'audit: a chain is missing');
  await tendOtherChains(root, new Set(own), {
    sync: settings.audit.sync,
    retainMs: settings.audit.retainMs,
    clock: systemClock,
    onFailure: (error) => log.warn({ error: error.message }, 'audit: an old chain was left alone'),
  });
}
