/** What rules and panels may name: what a live scrape has, and what Prometheus makes by itself. */
import { labelsIn } from './promql.ts';

/** Rows that the traffic of a test does not make: held requests need a person. Labels as README.md has them. */
const UNSEEN: readonly (readonly [string, readonly string[]])[] = [
  ['sallyport_approvals_pending', ['group']],
  ['sallyport_approvals_total', ['group', 'outcome']],
  ['sallyport_scrubbed_total', ['group', 'key']],
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
