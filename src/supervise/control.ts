/** What the admin side may ask of several workers: their views as one. A worker that does not answer is told of. */
import type {
  AuditView,
  BlockedView,
  ControlPlane,
  FlowView,
  GroupView,
  WorkerView,
} from '../base/control.ts';
import type { Endpoint } from '../config/settings.ts';
import { changeLockdown, type LockdownStore } from '../state/lockdown.ts';
import { type ApprovalSeat, crewApprovals } from './approvals.ts';
import type { WorkerReport } from './messages.ts';
import type { Seat } from './seat.ts';
import type { Supervisor } from './supervisor.ts';

type Seen = { readonly seat: Seat; readonly report: WorkerReport | null };

/** `about`: of the supervising process. */
export function createCrewControl(
  crew: Supervisor,
  about: {
    readonly version: string;
    readonly startedAt: number;
    readonly now: () => number;
    readonly admin: () => Endpoint;
    readonly lockdown: LockdownStore;
    /** the chain of what people do */
    readonly people: () => AuditView;
  },
): ControlPlane {
  const { lockdown } = about;
  const look = (): Promise<Seen[]> =>
    Promise.all(crew.seats.map(async (seat) => ({ seat, report: await seat.report() })));
  return {
    ready: async () => readiness(await look(), crew.stopping()),
    status: async () => {
      const seen = await look();
      const reports = reportsOf(seen);
      const [first] = reports;
      const { ready, why } = readiness(seen, crew.stopping());
      return {
        version: about.version,
        started: new Date(about.startedAt).toISOString(),
        uptime_seconds: Math.floor((about.now() - about.startedAt) / 1000),
        ready,
        why,
        policy: first?.status.policy ?? null,
        policy_loaded: first?.status.policy_loaded ?? null,
        groups: first?.status.groups ?? 0,
        open_connections: sum(reports.map(({ status }) => status.open_connections)),
        listeners: { proxy: textOf(crew.address), admin: textOf(about.admin()) },
        // Each worker has a chain of its own: their heads are among the workers.
        audit: {
          healthy:
            about.people().healthy &&
            reports.length > 0 &&
            reports.every(({ status }) => status.audit.healthy),
          seq: sum(reports.map(({ status }) => status.audit.seq)),
          hash: '',
        },
        workers: seen.map(workerView),
        people: about.people(),
      };
    },
    groups: async () => mergedGroups(reportsOf(await look())),
    flows: async () => {
      const lists = await Promise.all(crew.seats.map((seat) => seat.ask('flows', null)));
      return lists.flatMap((flows): readonly FlowView[] => flows ?? []);
    },
    reload: () => crew.reload(),
    ...crewApprovals(() => crew.seats.map(approvalSeat)),
    blocked: async (limit) => {
      const lists = await Promise.all(crew.seats.map((seat) => seat.ask('blocked', limit)));
      return mergedBlocked(lists.flatMap((list) => list ?? [])).slice(0, limit);
    },
    cutFlow: async (id) => {
      const found = await Promise.all(crew.seats.map((seat) => seat.ask('cut', id)));
      return found.includes(true);
    },
    explain: async (ask) => {
      // All have the same policy; the first that answers will do.
      for (const seat of crew.seats) {
        const done = await seat.ask('explain', ask);
        if (done !== null) return done;
      }
      return { problem: 'no worker answers' };
    },
    lockdown: () => ({ locks: lockdown.locks() }),
    setLockdown: async (change) => {
      const result = await changeLockdown(lockdown, change);
      await spreadLockdown(crew, lockdown);
      return result;
    },
  };
}

function approvalSeat(seat: Seat): ApprovalSeat {
  return {
    approvals: () => seat.ask('approvals', null),
    decide: (decision) => seat.ask('decide', decision),
    forget: (about) => seat.ask('forget', about),
  };
}

/** Resolves when every worker that answers has cut what is locked; all of them follow the files by themselves, too. */
export async function spreadLockdown(crew: Supervisor, lockdown: LockdownStore): Promise<void> {
  await Promise.all(crew.seats.map((seat) => seat.ask('lockdown', lockdown.unwritten())));
}

function readiness(seen: readonly Seen[], stopping: boolean): { ready: boolean; why: string[] } {
  const policies = new Set(reportsOf(seen).map(({ status }) => status.policy));
  const why = [
    ...(stopping ? ['shutting down'] : []),
    ...seen.flatMap(({ seat, report }) =>
      troubles(seat, report).map((text) => `worker ${seat.worker}: ${text}`),
    ),
    ...(policies.size > 1 ? ['the workers have different policies'] : []),
  ];
  return { ready: why.length === 0, why };
}

function troubles({ state }: Seat, report: WorkerReport | null): readonly string[] {
  if (report !== null) return report.status.why;
  if (state === 'ready') return ['does not answer'];
  return [state === 'starting' ? 'starting' : 'ended; it is going to be replaced'];
}

function workerView({ seat, report }: Seen): WorkerView {
  const { worker, pid, state, restarts } = seat;
  return {
    worker,
    pid,
    state,
    restarts,
    ready: report?.status.ready ?? false,
    policy: report?.status.policy ?? null,
    open_connections: report?.status.open_connections ?? 0,
    audit: report?.status.audit ?? { healthy: false, seq: 0, hash: '' },
  };
}

/** As the first worker sees them, with the connections of all and what is used of limits as it was told last. */
function mergedGroups(reports: readonly WorkerReport[]): GroupView[] {
  const all = reports.flatMap(({ groups }) => groups);
  return (reports[0]?.groups ?? []).map((group) => ({
    ...group,
    limits: all.filter((one) => one.group === group.group).reduce(mostUsed, group.limits),
    open_connections: sum(
      all.filter((one) => one.group === group.group).map(({ open_connections }) => open_connections),
    ),
  }));
}

/** The numbers stand with the supervising process; each worker knows what it was told at its last question. */
function mostUsed(limits: GroupView['limits'], { limits: other }: GroupView): GroupView['limits'] {
  const more = <T extends { readonly used: number }>(one: T | null, two: T | null): T | null =>
    one === null || two === null || one.used >= two.used ? one : two;
  return {
    connections: more(limits.connections, other.connections),
    requests: more(limits.requests, other.requests),
    upload: more(limits.upload, other.upload),
    download: more(limits.download, other.download),
  };
}

/** The same host and reason of several workers are one row. */
function mergedBlocked(rows: readonly BlockedView[]): BlockedView[] {
  const merged = new Map<string, BlockedView>();
  for (const row of rows) {
    const key = JSON.stringify([row.group, row.host, row.reason]);
    const before = merged.get(key);
    const last = before === undefined || row.last > before.last ? row.last : before.last;
    merged.set(key, { ...row, count: row.count + (before?.count ?? 0), last });
  }
  return [...merged.values()].sort((a, b) => b.count - a.count || (a.last < b.last ? 1 : -1));
}

function reportsOf(seen: readonly Seen[]): WorkerReport[] {
  return seen.flatMap(({ report }) => report ?? []);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function textOf({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
