/**
 * The numbers of several processes as one: counters and histograms are summed, gauges by the rule that each was
 * registered with. Used by the process that supervises workers.
 */
import { AggregatorRegistry, Registry } from 'prom-client';

/** What one process counts, as plain data that can be sent to another. */
export type MetricsJson = readonly {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly object[];
}[];

export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** The Prometheus text of all. */
export function mergeMetrics(lists: readonly MetricsJson[]): Promise<string> {
  return aggregated(lists).metrics();
}

/** What must not be forgotten when a process is gone, because it may only grow: counters and histograms. */
export function growing(list: MetricsJson): MetricsJson {
  return list.filter(({ type }) => GROWING.has(type));
}

/** Several processes' numbers as one list. */
export function summed(lists: readonly MetricsJson[]): Promise<MetricsJson> {
  return metricsJson(aggregated(lists));
}

/** What a registry counts, without its functions, which cannot be sent. */
export async function metricsJson(registry: Registry): Promise<MetricsJson> {
  const all = await registry.getMetricsAsJSON();
  return all.map(({ name, help, type, aggregator, values }) => ({
    name,
    help,
    type: String(type),
    aggregator: MERGED.get(name) ?? aggregator,
    values,
  }));
}

/** What prom-client would average away or leave out: one worker that hangs, and one that was replaced. */
const MERGED: ReadonlyMap<string, string> = new Map([
  ['nodejs_eventloop_lag_seconds', 'max'],
  ['nodejs_eventloop_lag_p50_seconds', 'max'],
  ['nodejs_eventloop_lag_p90_seconds', 'max'],
  ['nodejs_eventloop_lag_p99_seconds', 'max'],
  ['process_start_time_seconds', 'max'],
]);

const GROWING: ReadonlySet<string> = new Set(['counter', 'histogram']);

function aggregated(lists: readonly MetricsJson[]): Registry {
  return AggregatorRegistry.aggregate(lists.map((list) => [...list]));
}
