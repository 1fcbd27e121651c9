/** What the admin side may ask of a running proxy: views of its parts, and the reload. */
import type { ApprovalLists, Decided, Decision } from './base/approvals.ts';
import type { LocalControl } from './base/control.ts';
import type { LiveFlow } from './base/live.ts';
import { explainAsked } from './config/explain-ask.ts';
import { denied } from './flow/reason.ts';
import { authorityText } from './flow/target.ts';
import type { RunningProxy } from './lifecycle.ts';
import { changeLockdown } from './state/lockdown.ts';
import type { Ruling } from './state/rulings.ts';

export function createControl(proxy: RunningProxy): LocalControl {
  const { parts } = proxy;
  const why = (): string[] => [
    ...(parts.snapshots.current() === null ? ['no policy is loaded'] : []),
    ...(parts.trail.healthy() ? [] : ['the audit trail cannot be written']),
    ...(parts.state.draining ? ['shutting down'] : []),
  ];
  const flows = () => parts.live.connectionsOpen();
  return {
    ready: () => ({ ready: why().length === 0, why: why() }),
    status: () => ({
      version: parts.options.version,
      started: new Date(parts.state.startedAt).toISOString(),
      uptime_seconds: Math.floor((parts.clock.now() - parts.state.startedAt) / 1000),
      ready: why().length === 0,
      why: why(),
      policy: parts.snapshots.current()?.set.hash ?? null,
      policy_loaded: isoOrNull(parts.snapshots.current()?.loadedAt),
      groups: parts.snapshots.current()?.set.groups.size ?? 0,
      open_connections: flows().length,
      listeners: listeners(proxy),
      audit: { healthy: parts.trail.healthy(), ...parts.trail.head() },
    }),
    groups: () => groupViews(proxy, flows()),
    flows: () => flows().map(flowView),
    reload: () => {
      const outcome = proxy.reload();
      return outcome.ok
        ? { ok: true, policy: outcome.snapshot.set.hash }
        : { ok: false, problems: outcome.problems };
    },
    blocked: (limit) =>
      parts.metrics.blocked(limit).map((row) => ({ ...row, last: new Date(row.last).toISOString() })),
    cutFlow: (id) => parts.live.cut(id, CUT),
    explain: (ask) => {
      const snapshot = parts.snapshots.current();
      if (snapshot === null) return { problem: 'no policy is loaded' };
      const groupOfToken = (id: string): string | null =>
        parts.tokens.list().find((token) => token.id === id)?.group ?? null;
      return explainAsked(snapshot, ask, groupOfToken);
    },
    lockdown: () => ({ locks: parts.lockdown.locks() }),
    setLockdown: (ask) => changeLockdown(parts.lockdown, ask),
    approvals: () => approvalLists(proxy),
    decide: (decision) => decide(proxy, decision),
    forget: (id) => forget(proxy, id),
  };
}

const CUT = denied('rule_denied', 'An operator ended this connection.');

function listeners({ address, parts }: RunningProxy): { proxy: string; admin: string } {
  const text = (at: { host: string; port: number } | undefined): string =>
    at === undefined ? '' : `${at.host.includes(':') ? `[${at.host}]` : at.host}:${at.port}`;
  return { proxy: text(address), admin: text(parts.state.listeners[1]) };
}

function groupViews({ parts }: RunningProxy, flows: readonly LiveFlow[]) {
  const groups = parts.snapshots.current()?.set.groups.values() ?? [];
  return [...groups].map((group) => ({
    group: group.name,
    description: group.description ?? null,
    mode: group.mode,
    token: group.token,
    sources: group.sources,
    rules: group.rules.length,
    keys: {
      usable: group.secrets.length,
      total: group.secretTotal,
      names: group.secrets.map(({ env }) => env),
      unavailable: group.secrets.flatMap(({ env, from }) => {
        const why = parts.keyring.problem(from);
        return why === null ? [] : [{ name: env, why }];
      }),
    },
    open_connections: flows.filter(({ identity }) => identity.group === group.name).length,
    limits: parts.limits.view(group.name),
    file: group.file,
  }));
}

function flowView(flow: LiveFlow) {
  return {
    id: flow.id,
    group: flow.identity.group,
    identity: flow.identity.id,
    host: authorityText(flow.target),
    treat: flow.treat,
    started: new Date(flow.startedAt).toISOString(),
    bytes_up: flow.bytesUp,
    bytes_down: flow.bytesDown,
  };
}

function isoOrNull(at: number | undefined): string | null {
  return at === undefined ? null : new Date(at).toISOString();
}

function approvalLists({ parts }: RunningProxy): Promise<ApprovalLists> {
  const { promise, resolve } = Promise.withResolvers<ApprovalLists>();
  parts.rulings.list((rulings) => {
    const remembered = rulings.filter(({ decision }) => decision === 'allow').map(rememberedView);
    resolve({ approvals: parts.approvals.list(), remembered });
  });
  return promise;
}

function rememberedView({ id, group, what, rule, by, at, until }: Ruling) {
  return {
    id,
    group,
    what,
    rule,
    by,
    since: new Date(at).toISOString(),
    until: new Date(until).toISOString(),
  };
}

function decide({ parts }: RunningProxy, decision: Decision): Promise<Decided> {
  const { promise, resolve } = Promise.withResolvers<Decided>();
  parts.approvals.decide(decision, resolve);
  return promise;
}

function forget({ parts }: RunningProxy, id: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  parts.rulings.forget(id, resolve);
  return promise;
}
