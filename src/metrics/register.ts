/** The names, texts and labels of contract section 9, each tied to its numbers. Called once by `metrics.ts`. */
import type { Registry } from 'prom-client';
import type { Counts } from './counts.ts';
import { STATUS_CLASSES } from './exchanges.ts';
import { liveCounter, liveGauge, liveHistogram, type Row } from './prom-metrics.ts';
import { registerPeople } from './register-people.ts';
import { registerReplicas } from './register-replicas.ts';
import { outcomes, row } from './rows.ts';

export function registerAll(registry: Registry, counts: Counts): void {
  registerFlows(registry, counts);
  registerKeys(registry, counts);
  registerCertificates(registry, counts);
  registerPolicy(registry, counts);
  registerProcess(registry, counts);
  registerPeople(registry, counts);
  registerReplicas(registry, counts);
}

function registerFlows(registry: Registry, counts: Counts): void {
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

function registerKeys(registry: Registry, counts: Counts): void {
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
  liveCounter(registry, {
    name: 'sallyport_telemetry_total',
    help: 'Log records and spans for the collector of OpenTelemetry: taken, not taken, dropped for want of room.',
    labels: ['signal', 'outcome'],
    rows: () =>
      [...counts.telemetry.rows()].map(([signal, outcome, value]) => row({ signal, outcome }, value)),
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

function registerCertificates(registry: Registry, counts: Counts): void {
  liveCounter(registry, {
    name: 'sallyport_leaf_certificates_total',
    help: 'Leaf certificates made for intercepted hosts.',
    labels: ['outcome'],
    rows: () => outcomes(counts.leaves),
  });
  liveGauge(registry, {
    name: 'sallyport_ca_not_after_timestamp_seconds',
    help: 'When the interception CA ends, in seconds since the epoch.',
    labels: [],
    merge: 'min',
    rows: () => {
      const ca = counts.authority();
      return ca === null ? [] : [row({}, ca.notAfter / 1000)];
    },
  });
  liveGauge(registry, {
    name: 'sallyport_ca_change',
    help: '1 for the stage in which a change of the interception CA is: announced, switched, finishing.',
    labels: ['stage'],
    merge: 'max',
    rows: () => {
      const stage = counts.authority()?.stage ?? null;
      return stage === null ? [] : [row({ stage }, 1)];
    },
  });
}

function registerPolicy(registry: Registry, counts: Counts): void {
  liveCounter(registry, {
    name: 'sallyport_policy_reloads_total',
    help: 'Loads of the policy files.',
    labels: ['outcome'],
    merge: 'max',
    rows: () => outcomes(counts.reloads),
  });
  liveGauge(registry, {
    name: 'sallyport_policy_last_reload_successful',
    help: 'Are the policy files valid, as they were read last; 0 means that an older policy, or none, is in force.',
    labels: [],
    merge: 'min',
    rows: () => (counts.lastReload === null ? [] : [row({}, counts.lastReload === 'ok' ? 1 : 0)]),
  });
  liveGauge(registry, {
    name: 'sallyport_policy_info',
    help: 'The policy in force for each group; always 1.',
    labels: ['group', 'hash', 'mode'],
    merge: 'max',
    rows: () => counts.policies.map(({ group, hash, mode }) => row({ group, hash, mode }, 1)),
  });
}

function registerProcess(registry: Registry, counts: Counts): void {
  liveCounter(registry, {
    name: 'sallyport_dns_lookups_total',
    help: 'Name resolutions.',
    labels: ['outcome'],
    rows: () => outcomes(counts.dns),
  });
  liveCounter(registry, {
    name: 'sallyport_dns_answers_total',
    help: 'Answers of the name server for sandboxes.',
    labels: ['outcome'],
    rows: () => outcomes(counts.dnsAnswers),
  });
  liveCounter(registry, {
    name: 'sallyport_upstream_connections_total',
    help: 'Connections to upstreams.',
    labels: ['outcome'],
    rows: () => outcomes(counts.upstream),
  });
  liveGauge(registry, {
    name: 'sallyport_workers',
    help: 'Worker processes that serve (ready), and that do not (missing); none without workers.',
    labels: ['state'],
    rows: () => Object.entries(counts.workers() ?? {}).map(([state, value]) => row({ state }, value)),
  });
  liveCounter(registry, {
    name: 'sallyport_audit_records_total',
    help: 'Records that stand in the audit files.',
    labels: [],
    rows: () => [row({}, counts.records)],
  });
  liveCounter(registry, {
    name: 'sallyport_audit_failures_total',
    help: 'Failed writes, lost records and tampering of the audit files.',
    labels: [],
    rows: () => [row({}, counts.failures)],
  });
  liveGauge(registry, {
    name: 'sallyport_build_info',
    help: 'Version and source revision; always 1.',
    labels: ['version', 'commit'],
    merge: 'max',
    rows: () => [row(counts.build, 1)],
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

function keyRows(counts: Counts, kind: 'substituted' | 'scrubbed'): Row[] {
  return [...counts.exchanges].flatMap(([group, { keys }]) =>
    [...keys.rows()].filter(([, what]) => what === kind).map(([key, , value]) => row({ group, key }, value)),
  );
}
