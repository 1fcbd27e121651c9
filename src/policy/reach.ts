/**
 * What must hold between rules and keys: a key's hosts are reachable by the group's rules, and what is
 * tunnelled unread holds no key and is judged by no rule. Asked by `compile.ts` once per group.
 */
import type { Authority, Host } from '../flow/target.ts';
import { parseLiteral } from './address-text.ts';
import { fitsPort, type HostPattern, hostsOverlap } from './host-pattern.ts';
import type { AllowRule, CompiledGroup, CompiledRule, HostRules, PolicySet, SecretSpec } from './model.ts';
import { isConditional, survey } from './survey.ts';

/** Host patterns of a key that no rule of the group lets through. */
export function unreachable(
  set: PolicySet,
  group: CompiledGroup,
  secret: SecretSpec,
): readonly HostPattern[] {
  // The members of an AWS key set have one list of hosts.
  if (secret.aws !== undefined && secret.aws.role !== 'id') return [];
  return secret.hosts.filter((pattern) => !reachable(set, group, pattern));
}

/** The first rule or key that needs to read what this rule tunnels, or null. */
export function tunnelConflict(
  set: PolicySet,
  group: CompiledGroup,
  rule: AllowRule,
): CompiledRule | SecretSpec | null {
  const before = [...set.guardrails, ...group.rules.slice(0, rule.index)];
  for (const pattern of rule.hosts) {
    const places = concrete(pattern).map((at) => surveyed(set, group, at));
    const exact = places.length > 0;
    if (exact && !places.some(({ steps }) => steps.some((step) => step.rule === rule))) continue;
    const judge = exact
      ? places.flatMap(({ steps }) => steps.map((step) => step.rule)).find(reads)
      : before.find((other) => reads(other) && other.hosts.some((host) => overlap(other, host, pattern)));
    if (judge !== undefined) return judge;
    const key = group.secrets.find(({ hosts }) => hosts.some((host) => overlap(rule, pattern, host)));
    if (key !== undefined) return key;
  }
  return null;
}

function reads(rule: CompiledRule): boolean {
  return rule.kind === 'approve' || isConditional(rule);
}

function reachable(set: PolicySet, group: CompiledGroup, pattern: HostPattern): boolean {
  if (pattern.kind === 'exact') {
    // Enforce mode is what counts: monitor mode would let everything through. Keys need TLS.
    return concrete(pattern).some((at) => surveyed(set, group, at).connect.kind === 'allow');
  }
  const shut = [...set.guardrails, ...group.rules];
  for (const rule of shut) {
    const fits = rule.hosts.some((host) => overlap(rule, host, pattern));
    if (fits && rule.kind !== 'deny') return true;
    if (fits && !isConditional(rule) && rule.hosts.some((host) => swallows(host, pattern))) return false;
  }
  return false;
}

/** The places that an exact pattern names: its ports, or 443. */
function concrete(pattern: HostPattern): readonly Authority[] {
  if (pattern.kind !== 'exact') return [];
  const kind = parseLiteral(pattern.host)?.kind ?? 'name';
  return (pattern.ports ?? [443]).map((port) => ({ host: trusted(pattern.host), kind, port }));
}

function surveyed(set: PolicySet, group: CompiledGroup, at: Authority): HostRules {
  return survey({ set, group, at, use: 'https' });
}

function overlap(rule: CompiledRule, host: HostPattern, other: HostPattern): boolean {
  const everyPort = rule.kind === 'deny' && host.ports === null;
  const ports = other.ports ?? [443];
  return (
    hostsOverlap(host, other) && (everyPort || ports.some((port) => fitsPort(host.ports, port, 'https')))
  );
}

function swallows(host: HostPattern, pattern: HostPattern): boolean {
  if (host.ports !== null) return false;
  return host.kind === 'any' || (host.kind === 'below' && pattern.host.endsWith(host.host));
}

/** A pattern's host went through the same grammar as `parseAuthority` asks for. */
function trusted(host: string): Host {
  return host as Host;
}
