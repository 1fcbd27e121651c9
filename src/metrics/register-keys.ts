/** The metrics of keys: where they were put in and taken out, misused, fetched, and how old they are. Part of `register.ts`. */
import type { Registry } from 'prom-client';
import type { Counts } from './counts.ts';
import { liveCounter, liveGauge, type Row } from './prom-metrics.ts';
import { row } from './rows.ts';

export function registerKeys(registry: Registry, counts: Counts): void {
  for (const [name, second, help] of [
    ['sallyport_substitutions_total', 'substituted', 'Requests in which a placeholder became its key.'],
    ['sallyport_scrubbed_total', 'scrubbed', 'Responses in which a key became its placeholder.'],
  ] as const) {
    liveCounter(registry, { name, help, labels: ['group', 'key'], rows: () => keyRows(counts, second) });
  }
  liveCounter(registry, {
    name: 'sallyport_placeholder_misuse_total',
    help: 'Requests refused because of a placeholder or a real key in them.',
    labels: ['group', 'reason'],
    rows: () =>
      [...counts.exchanges].flatMap(([group, { misuse }]) =>
        [...misuse.rows()].map(([reason, , value]) => ({ labels: { group, reason }, value })),
      ),
  });
  liveCounter(registry, {
    name: 'sallyport_secret_fetch_total',
    help: 'Fetches of key values from their sources.',
    labels: ['source', 'outcome'],
    rows: () => [...counts.secrets.rows()].map(([source, outcome, value]) => row({ source, outcome }, value)),
  });
  liveGauge(registry, {
    name: 'sallyport_secret_age_seconds',
    help: 'Age of the key values in memory.',
    labels: ['key'],
    merge: 'max',
    rows: () => counts.ages().flatMap((one) => (one.available ? row({ key: one.key }, one.seconds) : [])),
  });
  liveGauge(registry, {
    name: 'sallyport_secret_available',
    help: 'Has the key a value (1), or are requests that need it refused (0).',
    labels: ['key'],
    merge: 'min',
    rows: () => counts.ages().map(({ key, available }) => row({ key }, available ? 1 : 0)),
  });
}

function keyRows(counts: Counts, kind: 'substituted' | 'scrubbed'): Row[] {
  return [...counts.exchanges].flatMap(([group, { keys }]) =>
    [...keys.rows()].filter(([, what]) => what === kind).map(([key, , value]) => row({ group, key }, value)),
  );
}
