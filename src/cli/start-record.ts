/**
 * What the supervising process keeps for people: the lockdown, which it spreads to its workers, and a chain of its
 * own in the audit folder, for what operators do. A single process has both in its proxy.
 */
import path from 'node:path';
import { checkpointKeyPath } from '../audit/checkpoint.ts';
import type { OperatorEvent } from '../audit/event.ts';
import { tellFailures } from '../audit/failure-log.ts';
import { openAuditTrail } from '../audit/writer.ts';
import { systemClock } from '../base/clock.ts';
import type { AuditView } from '../base/control.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../config/settings.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { keepRecord } from '../operators/record.ts';
import type { LockdownStore } from '../state/lockdown.ts';
import { openLockdown } from '../state/lockdown-file.ts';
import type { Opened } from '../telemetry/open.ts';

export type PeopleRecord = {
  readonly lockdown: LockdownStore;
  readonly record: (event: OperatorEvent) => void;
  readonly head: () => AuditView;
  readonly close: () => Promise<void>;
};

/** Throws when the audit folder cannot be opened. */
export function openPeopleRecord(
  settings: Settings,
  log: Log,
  of: {
    readonly metrics: Pick<Metrics, 'observe' | 'auditFailure' | 'telemetry'>;
    readonly telemetry: Opened | null;
  },
): PeopleRecord {
  const { metrics } = of;
  const { dir } = settings.state;
  const audit = path.join(dir, 'audit');
  const trail = openAuditTrail({
    dir: audit,
    keyPath: checkpointKeyPath(audit),
    sync: settings.audit.sync,
    retainMs: settings.audit.retainMs,
    clock: systemClock,
    onFailure: tellFailures({ log, clock: systemClock, count: () => metrics.auditFailure() }),
  });
  trail.onEvent((event) => metrics.observe(event));
  const exported = of.telemetry?.begin(metrics);
  if (exported !== undefined) trail.onEvent(exported);
  const lockdown = openLockdown({ dir, clock: systemClock, watch: true });
  const keeper = keepRecord({ dir, clock: systemClock, trail, lockdown });
  return {
    lockdown,
    record: (event) => trail.operator(event),
    head: () => ({ healthy: trail.healthy(), ...trail.head() }),
    close: async () => {
      keeper.stop();
      lockdown.close();
      await trail.close();
      keeper.settle();
    },
  };
}
