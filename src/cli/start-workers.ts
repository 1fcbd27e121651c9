/**
 * `start` with `proxy.workers` above one: this process supervises and has the admin side, the workers serve. The
 * signals mean what they mean for a single process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { ShownMetrics } from '../admin/route.ts';
import { systemClock } from '../base/clock.ts';
import type { ControlPlane } from '../base/control.ts';
import type { Log } from '../base/log.ts';
import { loadPolicies } from '../config/load.ts';
import type { Endpoint, Settings } from '../config/settings.ts';
import type { WorkerCount } from '../metrics/counts.ts';
import { METRICS_TYPE } from '../metrics/merge.ts';
import { createMetrics, type Metrics } from '../metrics/metrics.ts';
import { createNotices } from '../notices.ts';
import { lockBySignal } from '../operators/signal.ts';
import type { Replicas } from '../replicas/replicas.ts';
import { createCrewControl, spreadLockdown } from '../supervise/control.ts';
import { type Supervisor, startSupervisor } from '../supervise/supervisor.ts';
import type { Opened } from '../telemetry/open.ts';
import type { CliIo } from './io.ts';
import { openAdmin } from './start-admin.ts';
import { openPeopleRecord } from './start-record.ts';
import { joinReplicas } from './start-replicas.ts';
import type { Signals } from './start-signals.ts';
import { greeting, toCliError } from './start-text.ts';

/** The program itself, beside this folder in the sources and in the package. */
const SCRIPT = fileURLToPath(new URL('../sallyport.js', import.meta.url));

/** How many processes serve. */
export function workersOf({ proxy }: Settings): number {
  return proxy.workers === 'auto' ? availableParallelism() : proxy.workers;
}

/** Runs until a signal ends it. `token`: of the admin side. */
export async function startWorkers(
  settings: Settings,
  io: CliIo,
  about: {
    readonly log: Log;
    readonly signals: Signals;
    readonly token: string;
    readonly version: string;
    readonly telemetry: Opened | null;
    readonly replicas: Replicas | null;
  },
): Promise<void> {
  const { log, signals, token, version, telemetry, replicas } = about;
  const workers = workersOf(settings);
  const counted = createMetrics({ version });
  const notices = createNotices({ settings, clock: systemClock, log, metrics: counted });
  const people = openPeopleRecord(settings, log, { metrics: counted, telemetry });
  const { lockdown, record } = people;
  const startedAt = systemClock.now();
  const crew = await startSupervisor({
    settings,
    workers,
    version,
    log,
    clock: systemClock,
    env: withoutRedis(io.env),
    ...(replicas === null ? {} : { store: replicas.store }),
    fork: () => forkWorker(io.env),
    locks: () => lockdown.unwritten(),
    onDesk: notices.take,
  }).catch(async (error: unknown) => {
    await replicas?.close();
    await people.close();
    return toCliError(error);
  });
  const stops: (() => Promise<void>)[] = [
    () => notices.close(),
    () => crew.stop(),
    async () => await replicas?.close(),
    () => people.close(),
    async () => telemetry?.stop(),
  ];
  let admin: Endpoint = settings.admin.listen;
  try {
    const control = createCrewControl(crew, {
      version,
      startedAt,
      now: systemClock.now,
      admin: () => admin,
      lockdown,
      people: people.head,
    });
    counted.workers(() => workerCount(crew.seats));
    const metrics = shownMetrics(crew, counted, control);
    const shown =
      replicas === null
        ? control
        : joinReplicas(replicas, { control, metrics: counted, record, policies: () => policiesOf(crew) });
    const answers = { control: shown, metrics, token, record, onStranger: counted.stranger };
    const own = await openAdmin({ settings, log, claim: replicas?.claimCode ?? null }, answers, stops);
    [admin] = own;
    crew.setOwn(own);
    // What the workers found, who have said what is wrong with it.
    const loaded = loadPolicies(settings.policies);
    const set = loaded.ok ? loaded.set : null;
    io.stdout.write(greeting(settings, { version, proxy: crew.address, admin, set, workers }));
    const kill = (): void => {
      for (const seat of crew.seats) seat.kill();
    };
    const lock = async (): Promise<void> => {
      await lockBySignal(lockdown, { record, log });
      await spreadLockdown(crew, lockdown);
    };
    const stopNow = (): void => crew.stopNow();
    await signals.untilStopped({ reload: () => crew.reload(), lockdown: lock, stopNow, kill });
  } finally {
    for (const stop of stops) await stop();
  }
}

/** Hashes in force; a worker that does not answer says nothing. */
async function policiesOf({ seats }: Supervisor): Promise<string[]> {
  const reports = await Promise.all(seats.map((seat) => seat.report()));
  return [...new Set(reports.flatMap((report) => report?.status.policy ?? []))];
}

/** What two workers hold of one call is one entry, so they are asked before each scrape. */
function shownMetrics(crew: Supervisor, counted: Metrics, control: ControlPlane): ShownMetrics {
  let pending: ReadonlyMap<string, number> = new Map();
  counted.approvalsPending(() => pending);
  const render = async (): Promise<string> => {
    pending = countedByGroup((await control.approvals()).approvals);
    return crew.metrics(await counted.json());
  };
  return { contentType: METRICS_TYPE, render };
}

function countedByGroup(held: readonly { readonly group: string }[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { group } of held) counts.set(group, (counts.get(group) ?? 0) + 1);
  return counts;
}

function workerCount(seats: Supervisor['seats']): WorkerCount {
  const ready = seats.filter(({ state }) => state === 'ready').length;
  return { ready, missing: seats.length - ready };
}

/** Redis is this process's alone: who serves sandboxes need not hold what opens it. */
function withoutRedis(env: CliIo['env']): CliIo['env'] {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('SALLYPORT_REDIS_')));
}

/**
 * What a worker needs before it is told the rest: how Node, its libraries and the system's trust work. `env:` keys and
 * what opens the vault come by the channel: /proc shows the environment of a process for as long as it runs.
 */
const OF_THE_PROCESS =
  /^(?:NODE_[A-Z0-9_]+|UV_[A-Z_]+|OPENSSL_[A-Z]+|SSL_CERT_(?:FILE|DIR)|LD_[A-Z_]+|MALLOC_[A-Z_]+|PATH|HOME|USER|LANG|LC_[A-Z]+|TZ|TMPDIR|TERM|NO_COLOR|FORCE_COLOR|SALLYPORT_DEBUG)$/;

function forkWorker(env: CliIo['env']): ChildProcess {
  return fork(SCRIPT, ['worker'], {
    env: Object.fromEntries(Object.entries(env).filter(([name]) => OF_THE_PROCESS.test(name))),
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}
