/**
 * The names, texts and labels of contract section 9, each tied to its numbers: certificates, policies and the process here,
 * the rest in `register-*.ts`. Called once by `metrics.ts`.
 */
import type { Registry } from 'prom-client';
import type { Counts } from './counts.ts';
import { liveCounter, liveGauge } from './prom-metrics.ts';
import { registerFlows } from './register-flows.ts';
import { registerKeys } from './register-keys.ts';
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
  liveCounter(registry, {
    name: 'sallyport_telemetry_total',
    help: 'Log records and spans for the collector of OpenTelemetry: taken, not taken, dropped for want of room.',
    labels: ['signal', 'outcome'],
    rows: () =>
      [...counts.telemetry.rows()].map(([signal, outcome, value]) => row({ signal, outcome }, value)),
  });
  liveGauge(registry, {
    name: 'sallyport_build_info',
    help: 'Version and source revision; always 1.',
    labels: ['version', 'commit'],
    merge: 'max',
    rows: () => [row(counts.build, 1)],
  });
}
