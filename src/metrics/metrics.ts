/**
 * Every metric of README.md, "Metrics". Counters are made of audit events, so they
 * cannot disagree with the record; gauges and counts of things that leave no record have their own calls.
 * Created and wired by `proxy.ts`, rendered by `admin/`. `observe` is on every request's way.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { AuditEvent } from '../audit/event.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import type { Treat } from '../flow/verdict.ts';
import {
  type AuthorityCount,
  type Counts,
  noCounts,
  type PolicyInfo,
  type ReplicaCount,
  type SecretAge,
  type WorkerCount,
} from './counts.ts';
import { GroupDecisions, type RefusedHost } from './decisions.ts';
import { GroupExchanges, requestTreat } from './exchanges.ts';
import { PlainHistogram } from './histogram.ts';
import { type MetricsJson, metricsJson } from './merge.ts';
import { registerAll } from './register.ts';

type BlockedHost = RefusedHost & { readonly group: string };

export type Metrics = {
  /** Counts one event of the audit trail. */
  observe(event: AuditEvent): void;
  opened(group: string, treat: Treat): void;
  closed(group: string, treat: Treat): void;
  dnsLookup(outcome: string): void;
  /** an answer of the name server for sandboxes */
  dnsAnswer(outcome: string): void;
  upstreamConnection(outcome: string): void;
  leafCertificate(outcome?: 'ok' | 'error'): void;
  policyReload(outcome: 'ok' | 'error'): void;
  /** Replaces what `sallyport_policy_info` says. */
  policyInfo(entries: readonly PolicyInfo[]): void;
  auditFailure(): void;
  /** what became of a request that an `approve` rule decides */
  approval(group: string, outcome: string): void;
  /** A message to the webhook; `count` 0 shows the counter before its first. */
  notice(outcome: 'sent' | 'failed' | 'dropped', count?: number): void;
  /** A wrong token at the admin side, and what it was told. */
  readonly stranger: (told: 'token_invalid' | 'too_many_failures') => void;
  /** `fn` is asked at each scrape: held entries by group. */
  approvalsPending(fn: () => ReadonlyMap<string, number>): void;
  secretFetch(source: string, outcome: string): void;
  /** Log records or spans that a collector took, did not take, or that found no room to wait. */
  telemetry(signal: string, outcome: 'ok' | 'failed' | 'dropped', items: number): void;
  /** `fn` is asked at each scrape. */
  secretAges(fn: () => readonly SecretAge[]): void;
  /** `fn` is asked at each scrape: the groups that are locked, `*` for all. */
  lockedGroups(fn: () => readonly string[]): void;
  /** A lock of `since` has cut what was open here by `over`, milliseconds since the epoch. */
  lockdownCut(since: number, over: number): void;
  /** `fn` is asked at each scrape, where this process supervises others. */
  workers(fn: () => WorkerCount): void;
  /** `fn` is asked at each scrape: the interception CA that signs. */
  authority(fn: () => AuthorityCount): void;
  /** `fn` is asked at each scrape, where replicas share a Redis. */
  replicas(fn: () => ReplicaCount): void;
  /** The Prometheus text, `contentType` its media type. */
  render(): Promise<string>;
  readonly contentType: string;
  /** the same as data, to be merged with that of other processes */
  json(): Promise<MetricsJson>;
  /** Refused hosts, most often refused first; at most `limit`. */
  blocked(limit?: number): BlockedHost[];
};

/** Seconds. Time of our own: from a pooled exchange to a first connection that waits for a leaf. */
const OVERHEAD_BOUNDS: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5,
];

type About = {
  readonly version: string;
  /** source revision */
  readonly commit?: string;
  readonly clock?: Clock;
};

export function createMetrics(about: About): Metrics {
  const clock = about.clock ?? systemClock;
  const registry = new Registry();
  const build = { version: about.version, commit: about.commit ?? '' };
  const counts = noCounts({ build });
  registerAll(registry, counts);
  collectProcessMetrics(registry);
  return {
    observe: (event) => observe(counts, event, clock),
    opened: (group, treat) => moveOpen(counts, { group, treat, by: 1 }),
    closed: (group, treat) => moveOpen(counts, { group, treat, by: -1 }),
    dnsLookup: (outcome) => counts.dns.add(outcome, ''),
    dnsAnswer: (outcome) => counts.dnsAnswers.add(outcome, ''),
    upstreamConnection: (outcome) => counts.upstream.add(outcome, ''),
    leafCertificate: (outcome = 'ok') => counts.leaves.add(outcome, ''),
    policyReload(outcome) {
      counts.reloads.add(outcome, '');
      counts.lastReload = outcome;
    },
    policyInfo(entries) {
      counts.policies = entries;
      for (const { group, mode } of entries) begin(counts, group, mode);
    },
    auditFailure() {
      counts.failures += 1;
    },
    approval: (group, outcome) => counts.approvals.add(group, outcome),
    approvalsPending(fn) {
      counts.pending = fn;
    },
    secretFetch(source, outcome) {
      for (const each of ['ok', 'error']) counts.secrets.add(source, each, 0);
      counts.secrets.add(source, outcome);
    },
    telemetry(signal, outcome, items) {
      counts.telemetry.add(signal, outcome, items);
    },
    secretAges(fn) {
      counts.ages = fn;
    },
    lockedGroups(fn) {
      counts.locked = fn;
    },
    lockdownCut(since, over) {
      if (since > (counts.cut?.since ?? 0)) counts.cut = { since, over };
    },
    workers(fn) {
      counts.workers = fn;
    },
    notice: (outcome, count = 1) => counts.notices.add(outcome, '', count),
    stranger: (told) => counts.strangers.add(told, ''),
    authority(fn) {
      counts.authority = fn;
    },
    replicas(fn) {
      counts.replicas = fn;
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
    json: () => metricsJson(registry),
    blocked: (limit = 100) => blocked(counts, limit),
  };
}

/** A group that is in force is counted from zero, whatever happens first. */
function begin(counts: Counts, group: string, mode: PolicyInfo['mode']): void {
  decisionsOf(counts, group).begin(mode === 'monitor' ? 'would_deny' : 'deny', 'host_not_allowed');
  exchangesOf(counts, group);
  for (const outcome of ['allowed', 'denied', 'timeout']) counts.approvals.add(group, outcome, 0);
}

function decisionsOf(counts: Counts, group: string): GroupDecisions {
  let decisions = counts.decisions.get(group);
  if (decisions === undefined) {
    decisions = new GroupDecisions();
    counts.decisions.set(group, decisions);
  }
  return decisions;
}

function exchangesOf(counts: Counts, group: string): GroupExchanges {
  let exchanges = counts.exchanges.get(group);
  if (exchanges === undefined) {
    exchanges = new GroupExchanges();
    counts.exchanges.set(group, exchanges);
  }
  return exchanges;
}

function observe(counts: Counts, event: AuditEvent, clock: Clock): void {
  counts.records += 1;
  if (event.kind === 'operator') return counts.people.add(event.action, event.outcome);
  const group = event.group ?? '';
  if (event.kind === 'decision') return decisionsOf(counts, group).count(event, clock.now);
  if (event.overturned === true) {
    decisionsOf(counts, group).count({ ...event, verdict: 'deny', hostLabel: null }, clock.now);
  }
  const treat = requestTreat(event);
  if (treat === null) return;
  exchangesOf(counts, group).count(event, treat);
  if (event.overheadMs === null) return;
  let overhead = counts.overhead.get(treat);
  if (overhead === undefined) {
    overhead = new PlainHistogram(OVERHEAD_BOUNDS);
    counts.overhead.set(treat, overhead);
  }
  overhead.observe(event.overheadMs / 1000);
}

function moveOpen(counts: Counts, at: { group: string; treat: Treat; by: 1 | -1 }): void {
  let open = counts.open.get(at.group);
  if (open === undefined) {
    open = new Map();
    counts.open.set(at.group, open);
  }
  open.set(at.treat, (open.get(at.treat) ?? 0) + at.by);
}

function blocked(counts: Counts, limit: number): BlockedHost[] {
  const all = [...counts.decisions].flatMap(([group, decisions]) =>
    decisions.refused().map((host) => ({ group, ...host })),
  );
  return all.sort((a, b) => b.count - a.count || b.last - a.last).slice(0, limit);
}

/** `promtool check metrics` objects to three of the defaults: gauges whose names end in `_total`. */
function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const what of ['handles', 'requests', 'resources']) {
    registry.removeSingleMetric(`nodejs_active_${what}_total`);
  }
}
