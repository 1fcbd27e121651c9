/** What rules and panels may name: what a live scrape has, and what Prometheus makes by itself. */
import { labelsIn } from './promql.ts';

/** Rows that the tests' traffic does not make: there are no workers, no replicas and no lockdown. Labels as README.md has them. */
const UNSEEN: readonly (readonly [string, readonly string[]])[] = [
  ['sallyport_workers', ['state']],
  ['sallyport_replicas', []],
  ['sallyport_replica_policies', []],
  ['sallyport_replicas_shared', []],
  ['sallyport_lockdown_cut_seconds', []],
];

/** Is there no row of it after the tests' traffic? */
export function isUnseen(metric: string): boolean {
  return UNSEEN.some(([name]) => name === metric);
}

export function knownMetrics(scrape: string): Map<string, ReadonlySet<string>> {
  const known = new Map<string, ReadonlySet<string>>(UNSEEN.map(([name, labels]) => [name, new Set(labels)]));
  for (const [name, labels] of labelsIn(scrape)) known.set(name, labels);
  return known.set('up', new Set());
}
