/**
 * `worker`, which `start` runs for each of several processes: a proxy that is told by the supervising process what to
 * serve, answers its questions, and drains when told to, at SIGTERM, or when that process is gone.
 */
import type { Command } from 'commander';
import type { OperatorEvent } from '../audit/event.ts';
import { createLog, type Log } from '../base/log.ts';
import { createControl } from '../control.ts';
import { startProxy } from '../lifecycle.ts';
import { lockBySignal } from '../operators/signal.ts';
import type { StateStore } from '../state/store.ts';
import type { Begin } from '../supervise/messages.ts';
import { type Channel, type Served, serveChannel } from '../supervise/serve.ts';
import { ensureInstall } from './install.ts';
import { CliError, type CliIo } from './io.ts';
import { telemetryFor } from './start-telemetry.ts';

export function addWorker(program: Command, io: CliIo): void {
  program
    .command('worker', { hidden: true })
    .description('one process of several; run by `start`')
    .action(() => work(io));
}

async function work(io: CliIo): Promise<void> {
  if (process.send === undefined) throw new CliError('`start` runs this; it is of no use by itself', 2);
  // A terminal sends its signals to the whole group: what they mean is the supervising process's to say.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
  const done = await serveChannel(ownChannel(), (begin, store) => serve(begin, store, io), drainAtSigterm);
  if (process.connected) process.disconnect();
  // The supervising process has been told why, and tells the user.
  if (!done) throw new CliError('', 1);
}

function ownChannel(): Channel {
  return {
    // A channel that breaks is heard of by its end.
    tell: (message) => void process.send?.(message, undefined, {}, () => {}),
    onMessage: (fn) => void process.on('message', fn),
    onGone: (fn) => void process.once('disconnect', fn),
  };
}

async function serve(begin: Begin, store: StateStore, io: CliIo): Promise<Served> {
  const { worker, settings, version, env } = begin;
  const log: Log = createLog({ stream: io.stderr, worker });
  const { authority, placeholderKey } = ensureInstall(settings, { now: Date.now(), env });
  const telemetry = await telemetryFor(env, version);
  const proxy = await startProxy({
    settings,
    log,
    version,
    authority,
    placeholderKey,
    env,
    worker,
    store,
    locks: begin.locks,
    telemetry,
  });
  const { parts } = proxy;
  const record = (event: OperatorEvent): void => parts.trail.operator(event);
  process.on('SIGUSR2', () => void lockBySignal(parts.lockdown, { record, log }));
  const { tls, http, dns } = proxy.transparent;
  parts.state.peers = begin.own;
  return {
    at: { proxy: proxy.address, transparent: { tls, http, dns } },
    control: createControl(proxy),
    metrics: () => parts.metrics.json(),
    own: () => [...parts.state.listeners, ...parts.state.others],
    holdLocks: (locks) => parts.lockdown.hold(locks),
    onDesk: (fn) => {
      parts.approvals.subscribe((event) => {
        if (event.kind !== 'ended') fn(event);
      });
    },
    onMinted: (fn) => {
      parts.keyring.subscribe(() => fn(parts.keyring.minted()));
      fn(parts.keyring.minted());
    },
    minted: () => parts.keyring.minted(),
    learnMinted: (minted) => parts.keyring.learn(minted),
    setOthers: (own) => {
      parts.state.peers = own;
    },
    onError: (error) => log.error({ error: String(error) }, 'a question of the supervising process failed'),
    stop: async () => {
      await proxy.stop();
      await telemetry?.stop();
    },
    stopNow: async () => {
      await proxy.stopNow();
      await telemetry?.stop();
    },
  };
}

/** A manager may signal each process by itself; the first signal drains, a second one cuts. */
function drainAtSigterm(served: Served): void {
  let signals = 0;
  process.on('SIGTERM', () => {
    signals += 1;
    void (signals === 1 ? served.stop() : served.stopNow());
  });
}
