/** The metrics of requests and tunnels: decisions, ends, times, bytes, and what is open. Part of `register.ts`. */
import type { Registry } from 'prom-client';
import type { Counts } from './counts.ts';
import { STATUS_CLASSES } from './exchanges.ts';
import { liveCounter, liveGauge, liveHistogram, type Row } from './prom-metrics.ts';
import { row } from './rows.ts';

export function registerFlows(registry: Registry, counts: Counts): void {
  liveCounter(registry, {
    name: 'sallyport_decisions_total',
    help: 'Decisions by verdict, reason and host (a rule pattern, or a recently refused host).',
    labels: ['group', 'verdict', 'reason', 'host'],
    rows: () => decisionRows(counts),
  });
  liveGauge(registry, {
    name: 'sallyport_refused_last_timestamp_seconds',
    help: 'When a host was refused last, in seconds since the epoch; the newest hosts of each group.',
    labels: ['group', 'host', 'reason'],
    merge: 'max',
    rows: () =>
      [...counts.decisions].flatMap(([group, decisions]) =>
        decisions.newest().map(({ host, reason, last }) => row({ group, host, reason }, last / 1000)),
      ),
  });
  liveCounter(registry, {
    name: 'sallyport_requests_total',
    help: 'Requests and tunnels that ended, by class of the status the client got (none: no answer).',
    labels: ['group', 'treat', 'status_class'],
    rows: () => requestRows(counts),
  });
  liveHistogram(registry, {
    name: 'sallyport_request_duration_seconds',
    help: 'Time from the first byte of a request or tunnel to the last.',
    labels: ['group', 'treat'],
    rows: () =>
      [...counts.exchanges].flatMap(([group, exchanges]) =>
        [...exchanges.byTreat].map(([treat, { duration }]) => ({
          labels: { group, treat },
          histogram: duration,
        })),
      ),
  });
  liveHistogram(registry, {
    name: 'sallyport_overhead_seconds',
    help: 'Time spent in the proxy, upstream excluded.',
    labels: ['treat'],
    rows: () => [...counts.overhead].map(([treat, histogram]) => ({ labels: { treat }, histogram })),
  });
  liveCounter(registry, {
    name: 'sallyport_bytes_total',
    help: 'Bytes carried, up (to upstream) and down (to the sandbox).',
    labels: ['group', 'direction'],
    rows: () =>
      [...counts.exchanges].flatMap(([group, { bytesUp, bytesDown }]) => [
        { labels: { group, direction: 'up' }, value: bytesUp },
        { labels: { group, direction: 'down' }, value: bytesDown },
      ]),
  });
  liveGauge(registry, {
    name: 'sallyport_open_connections',
    help: 'Connections open now.',
    labels: ['group', 'treat'],
    rows: () =>
      [...counts.open].flatMap(([group, byTreat]) =>
        [...byTreat].map(([treat, value]) => ({ labels: { group, treat }, value })),
      ),
  });
}

function decisionRows(counts: Counts): Row[] {
  return [...counts.decisions].flatMap(([group, decisions]) =>
    decisions.rows().map(({ verdict, reason, host, count }) => row({ group, verdict, reason, host }, count)),
  );
}

function requestRows(counts: Counts): Row[] {
  const rows: Row[] = [];
  for (const [group, { byTreat }] of counts.exchanges) {
    for (const [treat, { classes }] of byTreat) {
      for (const [index, value] of classes.entries()) {
        const name = STATUS_CLASSES[index] ?? 'none';
        if (value > 0) rows.push(row({ group, treat, status_class: name }, value));
      }
    }
  }
  return rows;
}
