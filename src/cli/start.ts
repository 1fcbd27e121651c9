/**
 * `start`: makes what is missing, runs the proxy and the admin side until a signal ends them. SIGHUP reloads;
 * SIGTERM and SIGINT drain, a second one (either after either) cuts what is open and ends at once.
 */
import path from 'node:path';
import type { Command } from 'commander';
import { createAdmin, createMetricsListener } from '../admin/server.ts';
import { createLog, type Log } from '../base/log.ts';
import type { Endpoint, Settings } from '../config/settings.ts';
import { createControl } from '../control.ts';
import { type RunningProxy, startProxy } from '../lifecycle.ts';
import { ensureInstall } from './install.ts';
import { CliError, type CliIo } from './io.ts';
import { settingsFor } from './load.ts';
import { programVersion } from './version.ts';

/** From the second signal to the end of the process, whatever it is doing then. */
const HURRY_MS = 1_000;

export function addStart(program: Command, io: CliIo): void {
  program
    .command('start')
    .description('run the proxy and the admin side; makes what is missing')
    .option('--config <file>', 'settings file (default: sallyport.yaml where it exists)')
    .addHelpText('after', '\nExample:\n  $ sallyport start --config /etc/sallyport/sallyport.yaml\n')
    .action((options: { config?: string }) => start(settingsFor(options.config, io), io));
}

/** What the settings may ask for and this version cannot give: starting without it would open what they close. */
function refuseUnbuilt(settings: Settings): void {
  if (settings.state.redis === null) return;
  throw new CliError(
    `state.redis: not in this version; take it out of ${settings.file ?? 'the environment'}`,
  );
}

async function start(settings: Settings, io: CliIo): Promise<void> {
  refuseUnbuilt(settings);
  const log = createLog({ stream: io.stderr });
  const installed = ensureInstall(settings, { now: Date.now(), env: io.env });
  for (const warning of installed.warnings) log.warn(warning);
  const { authority, placeholderKey, adminToken } = installed;
  const version = programVersion();
  const proxy = await startProxy({ settings, log, version, authority, placeholderKey, env: io.env }).catch(
    toCliError,
  );
  const stops: (() => Promise<void>)[] = [() => proxy.stop()];
  try {
    const addresses = await openAdmin(settings, proxy, { token: adminToken, log, stops });
    io.stdout.write(greeting(settings, proxy, addresses));
    await untilStopped(proxy, log);
  } finally {
    for (const stop of stops) await stop();
  }
}

/** The admin listener and, where the settings ask for one, the listener for metrics alone. */
async function openAdmin(
  settings: Settings,
  proxy: RunningProxy,
  opts: { token: string; log: Log; stops: (() => Promise<void>)[] },
): Promise<{ admin: Endpoint }> {
  const { metrics, state } = proxy.parts;
  const admin = createAdmin({
    control: createControl(proxy),
    metrics,
    token: opts.token,
    listen: settings.admin.listen,
  });
  const at = await admin.listen().catch(toCliError);
  opts.stops.push(() => admin.close());
  state.listeners.push({ host: at.address, port: at.port });
  if (settings.metrics.listen !== null) {
    const second = createMetricsListener({ metrics, listen: settings.metrics.listen });
    const also = await second.listen().catch(toCliError);
    opts.stops.push(() => second.close());
    state.listeners.push({ host: also.address, port: also.port });
  }
  return { admin: { host: at.address, port: at.port } };
}

/** Resolves when the proxy is to end. From then on another signal means: at once, with the records written. */
async function untilStopped(proxy: RunningProxy, log: Log): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let signals = 0;
  // The handler stays while work drains: without one, SIGHUP would end the process there and then.
  const reload = (): void => {
    if (signals === 0) proxy.reload();
  };
  const stop = (signal: NodeJS.Signals): void => {
    signals += 1;
    if (signals === 1) resolve(signal);
    if (signals === 2) hurry(proxy, { signal, log });
  };
  process.on('SIGHUP', reload);
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const signal = await promise;
  log.info({ signal }, 'stopping: no new connections, open work may end');
}

/** Cuts all flows; their end records are written and the trail is closed by the stop that is under way. */
function hurry(proxy: RunningProxy, { signal, log }: { signal: NodeJS.Signals; log: Log }): void {
  log.info({ signal }, 'stopping at once: open work is cut');
  // Whatever hangs (a disk, a client of the admin side): a person who asked twice is not kept waiting.
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), HURRY_MS).unref();
  void proxy.stopNow();
}

function greeting(settings: Settings, proxy: RunningProxy, at: { admin: Endpoint }): string {
  const url = `http://${text(proxy.address)}`;
  const set = proxy.parts.snapshots.current()?.set ?? null;
  const policy =
    set === null
      ? 'NOT LOADED: every request is refused until the errors above are mended'
      : `${set.hash}, ${set.groups.size} ${set.groups.size === 1 ? 'group' : 'groups'}: ${[...set.groups.keys()].join(', ')}`;
  return [
    `Sallyport ${proxy.parts.options.version}`,
    `  proxy   ${url}`,
    `  admin   http://${text(at.admin)}   token in ${path.relative(process.cwd(), path.join(settings.state.dir, 'admin.token'))}`,
    `  policy  ${policy}`,
    '',
    'In a sandbox, or in a shell on this machine:',
    `  eval "$(curl -fsS --noproxy '*' ${url}/env)"`,
    '',
    '',
  ].join('\n');
}

function text({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A start that fails for a reason that an operator can mend is no crash. */
function toCliError(error: unknown): never {
  if (error instanceof CliError || !(error instanceof Error)) throw error;
  const code = 'code' in error ? String(error.code) : '';
  if (code === 'EADDRINUSE') {
    throw new CliError(
      `${error.message}; another program listens there: choose another address in sallyport.yaml`,
      1,
      {
        cause: error,
      },
    );
  }
  throw new CliError(error.message, 1, { cause: error });
}
