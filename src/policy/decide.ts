/**
 * The decision, pure: may this group open this host and port (stage one), may it send this request (stage
 * two, in full). The gate asks for every CONNECT and every request; the hot path is one cache look-up and a
 * walk over the few rules of that host. Serves: first match decides, guardrails first, refusals are values.
 */
import { type Denied, denied } from '../flow/reason.ts';
import { type Authority, authorityText } from '../flow/target.ts';
import type { Allow, Facts, Verdict } from '../flow/verdict.ts';
import type { PortUse } from './host-pattern.ts';
import type { CompiledGroup, CompiledRule, HostRules, HostStep, PolicySet } from './model.ts';
import { type CanonicalPath, canonicalPath, matchesPath } from './path-pattern.ts';
import { DEFAULT_IDLE_MS, defaultProtocol, type Note, survey } from './survey.ts';

/** Ports kept per host: a sandbox can name them all. */
const MAX_CACHED_PORTS = 8;

export type RequestAsk = { readonly scheme: 'https' | 'http'; readonly facts: Facts };

/**
 * Stage one, by host and port alone: could any rule allow a request there. `plain`: the client speaks plain
 * HTTP to that host (absolute-form), so an implied port is 80 alone. Never `ask`: a person is asked about
 * requests. Refuses with host_not_allowed, port_not_allowed or rule_denied.
 */
export function decideConnect(set: PolicySet, group: string, at: Authority, plain = false): Verdict {
  return walkConnect({ set, group, at, use: plain ? 'http' : 'connect' });
}

/**
 * Stage two, in full. Refuses with the reasons of stage one, method_not_allowed, path_not_allowed and,
 * where a rule of the host judges paths, ambiguous_path.
 */
export function decideRequest(set: PolicySet, group: string, at: Authority, ask: RequestAsk): Verdict {
  return walkRequest({ set, group, at, use: ask.scheme }, ask.facts);
}

/** The text of the pattern that opens host and port, for metric labels; null when none does. */
export function hostLabel(set: PolicySet, group: string, at: Authority): string | null {
  const owner = set.groups.get(group);
  if (owner === undefined) return null;
  const rules = rulesFor({ set, at, use: 'connect' }, owner);
  return rules.connect.kind === 'allow' ? rules.label : null;
}

/** Everything but the request: who goes where. */
export type Walk = {
  readonly set: PolicySet;
  readonly group: string;
  readonly at: Authority;
  readonly use: PortUse;
};

/** `decideConnect` with an optional recorder. */
export function walkConnect(walk: Walk, note?: Note): Verdict {
  const owner = walk.set.groups.get(walk.group);
  if (owner === undefined) return unknownGroup();
  const rules = rulesFor(walk, owner, note);
  noteConnect(rules, note);
  const guardrail = rules.steps.find(({ verdict }) => verdict === rules.connect)?.guard ?? false;
  return guardrail ? rules.connect : lift({ owner, walk, rules }, rules.connect);
}

/** `decideRequest` with an optional recorder. */
export function walkRequest(walk: Walk, facts: Facts, note?: Note): Verdict {
  const owner = walk.set.groups.get(walk.group);
  if (owner === undefined) return unknownGroup();
  const rules = rulesFor(walk, owner, note);
  const path = rules.judgesPaths ? canonicalPath(facts.path) : null;
  if (path !== null && 'kind' in path) {
    for (const { rule } of rules.steps) note?.(rule, false, 'the path is ambiguous');
    return rules.guarded ? path : lift({ owner, walk, rules }, path);
  }
  for (const step of rules.steps) {
    const wrong = mismatch(step.rule, facts, path);
    if (wrong === null) {
      note?.(step.rule, true, 'decides');
      return step.guard ? step.verdict : lift({ owner, walk, rules }, catchAll({ step, rules, walk, facts }));
    }
    note?.(step.rule, false, wrong);
  }
  return lift({ owner, walk, rules }, nearest(walk, rules, facts));
}

function unknownGroup(): Denied {
  return denied('host_not_allowed', 'This client belongs to no group that has a policy.');
}

function rulesFor(walk: Omit<Walk, 'group'>, group: CompiledGroup, note?: Note): HostRules {
  const { set, at, use } = walk;
  if (note !== undefined || group.cache === undefined) return survey({ set, group, at, use }, note);
  // Keyed by the host alone: its string is at hand with its hash, a longer key would be built per request.
  const known = group.cache.get(at.host) ?? [];
  for (const entry of known) if (entry.port === at.port && entry.use === use) return entry.rules;
  const rules = survey({ set, group, at, use });
  if (known.length === 0) group.cache.set(at.host, known);
  if (known.length === MAX_CACHED_PORTS) known.shift();
  known.push({ port: at.port, use, rules });
  return rules;
}

function mismatch(rule: CompiledRule, facts: Facts, path: CanonicalPath | null): string | null {
  if (rule.methods !== null && !rule.methods.has(facts.method)) {
    return `method ${facts.method} is not one of this rule`;
  }
  if (rule.paths === null) return null;
  const fits = path !== null && rule.paths.some((pattern) => matchesPath(pattern, path));
  return fits ? null : 'path does not match';
}

/** A last `deny: "*"` speaks for "nothing matched", so it gives the nearest reason and adds its own words. */
function catchAll(of: { step: HostStep; rules: HostRules; walk: Walk; facts: Facts }): Verdict {
  const { verdict, rule } = of.step;
  if (verdict.kind !== 'deny' || verdict.reason === 'rule_denied') return verdict;
  const near = nearest(of.walk, of.rules, of.facts);
  const words = rule.kind === 'deny' ? rule.reason : undefined;
  return denied(near.reason, [near.detail, words].filter((text) => text !== undefined).join(' '), rule.ref);
}

/** Nothing matched: the reason is what the rule that came nearest was missing. */
function nearest(walk: Walk, rules: HostRules, facts: Facts): Denied {
  const opening = rules.steps.filter(({ rule }) => rule.kind !== 'deny');
  if (opening.length === 0) return rules.otherwise;
  const spoken = opening.some(({ rule }) => rule.methods === null || rule.methods.has(facts.method));
  const at = authorityText(walk.at);
  return spoken
    ? denied('path_not_allowed', `No rule of this group allows this path of ${at}.`)
    : denied('method_not_allowed', `No rule of this group allows ${facts.method} on ${at}.`);
}

/** Monitor mode lets a group's own refusal through and says what enforce mode would have done. */
function lift(of: { owner: CompiledGroup; walk: Walk; rules: HostRules }, verdict: Verdict): Verdict {
  const { owner, walk, rules } = of;
  // No policy, no egress: a group without rules is refused in monitor mode, too.
  if (verdict.kind !== 'deny' || owner.mode !== 'monitor' || owner.rules.length === 0) return verdict;
  const lifted: Allow = {
    kind: 'allow',
    rule: verdict.rule,
    treat: rules.treat,
    wouldDeny: verdict.reason,
    addresses: [],
    protocol: defaultProtocol(walk.at),
    idleMs: DEFAULT_IDLE_MS,
    prefersH2: false,
    judgesRequests: rules.judgesRequests,
  };
  return lifted;
}

function noteConnect(rules: HostRules, note?: Note): void {
  if (note === undefined) return;
  for (const { rule, verdict } of rules.steps) {
    const conditional = rule.methods !== null || rule.paths !== null;
    if (rule.kind === 'deny' && conditional) {
      note(rule, false, 'judges requests, not connections');
      continue;
    }
    note(rule, true, verdict.kind === 'deny' ? 'decides' : 'opens the host');
    return;
  }
}
