/**
 * What the rules make of one host and port: the part of the walk that does not depend on the request, so
 * that `decide.ts` can cache it. Guardrails stand before the group's rules; first match decides; the walk
 * ends at the first rule that needs no look at the request (contract section 3, two stages).
 */
import { type Denied, denied, type Reason } from '../flow/reason.ts';
import { type Authority, authorityText } from '../flow/target.ts';
import type { Allow, Treat, Verdict } from '../flow/verdict.ts';
import { fitsHost, fitsPort, type HostPattern, matchesHost, type PortUse } from './host-pattern.ts';
import type {
  AllowRule,
  ApproveRule,
  CompiledGroup,
  CompiledRule,
  DenyRule,
  HostRules,
  HostStep,
  PolicySet,
} from './model.ts';

/** Takes down why a rule did or did not decide: what makes `explain` the same walk as the live decision. */
export type Note = (rule: CompiledRule, matched: boolean, why: string) => void;

export type SurveyAsk = {
  readonly set: PolicySet;
  readonly group: CompiledGroup;
  readonly at: Authority;
  readonly use: PortUse;
};

/** Idle limit per direction of a rule that names none, milliseconds. */
export const DEFAULT_IDLE_MS = 600_000;

/** Computes the HostRules of one host and port. */
export function survey(ask: SurveyAsk, note?: Note): HostRules {
  const found = collect(ask, note);
  const treat = treatOf(ask, found);
  const judges = (steps: readonly Found[]) => steps.some(({ rule }) => isConditional(rule));
  // Who approves a method must not be told another one in a field.
  const judgesRequests = judges(found.steps) || found.steps.some(({ rule }) => rule.kind === 'approve');
  const otherwise = nothingAllows(ask, found.near === 'host' ? 'port_not_allowed' : 'host_not_allowed');
  const steps = found.steps.map(({ rule, pattern, guard }) => {
    const verdict = verdictOf({ ask, rule, guard, treat, judgesRequests, otherwise });
    return { rule, pattern, guard, verdict };
  });
  const opening = steps.find(({ rule }) => rule.kind !== 'deny');
  const shut = steps.find(({ rule }) => rule.kind === 'deny' && !isConditional(rule));
  return {
    steps,
    treat,
    connect: connectVerdict(steps, opening) ?? shut?.verdict ?? otherwise,
    otherwise,
    judgesRequests,
    judgesPaths: steps.some(({ rule }) => rule.paths !== null),
    guarded: judges(found.steps.filter(({ guard }) => guard)),
    label: opening?.pattern.text ?? null,
  };
}

/** Does it depend on the request whether this rule decides? */
export function isConditional(rule: CompiledRule): boolean {
  return rule.methods !== null || rule.paths !== null;
}

/** The refusal when no rule allows host and port, in the words of the contract. */
function nothingAllows(ask: { at: Authority; group: CompiledGroup }, reason: Reason): Denied {
  const empty = ask.group.rules.length === 0 ? ' The group has no rules.' : '';
  return denied(reason, `No rule of this group allows ${authorityText(ask.at)}.${empty}`);
}

/** A last `deny: "*"`: it does not change the verdict, only the words (contract section 5 shows it). */
export function isCatchAll(rule: CompiledRule): rule is DenyRule {
  return rule.kind === 'deny' && !isConditional(rule) && rule.hosts.some(isEveryHost);
}

/**
 * Does the rule concern host and port, by which pattern; else, how near did it come? A `deny` reaches
 * further than an `allow`: without a port it means every port, and its `*` address literals as well, so that
 * a guardrail cannot be walked around on another port.
 */
function fitRule(rule: CompiledRule, at: Authority, use: PortUse): HostPattern | 'host' | 'none' {
  const deny = rule.kind === 'deny';
  let near: 'host' | 'none' = 'none';
  for (const pattern of rule.hosts) {
    if (!(fitsHost(pattern, at) || (deny && pattern.kind === 'any'))) continue;
    if ((deny && pattern.ports === null) || fitsPort(pattern.ports, at.port, use)) return pattern;
    near = 'host';
  }
  return near;
}

type Found = Pick<HostStep, 'rule' | 'pattern' | 'guard'>;
type Collected = { readonly steps: readonly Found[]; readonly near: 'host' | 'none' };

function collect({ set, group, at, use }: SurveyAsk, note?: Note): Collected {
  const steps: Found[] = [];
  let near: 'host' | 'none' = 'none';
  const take = (rule: CompiledRule, guard: boolean): boolean => {
    const fit = fitRule(rule, at, use);
    if (typeof fit === 'object') {
      steps.push({ rule, pattern: fit, guard });
      return !isConditional(rule);
    }
    if (fit === 'host' && rule.kind !== 'deny') near = 'host';
    note?.(rule, false, fit === 'host' ? `port ${at.port} is not one of this rule` : whyNot(rule, at));
    return false;
  };
  const closed = set.guardrails.some((rule) => take(rule, true));
  if (!closed) group.rules.some((rule) => take(rule, false));
  return { steps, near };
}

/** The two slips that people make most get their own words. */
function whyNot(rule: CompiledRule, at: Authority): string {
  if (rule.hosts.some((pattern) => pattern.kind === 'below' && pattern.host === `.${at.host}`)) {
    return `*.${at.host} does not cover ${at.host} itself`;
  }
  if (rule.hosts.some((pattern) => pattern.kind === 'any')) {
    return '`*` covers public names only; list this host by name';
  }
  return 'host does not match';
}

function treatOf({ group, at, use }: SurveyAsk, { steps }: Collected): Treat {
  const opening = steps.find(({ rule }) => rule.kind !== 'deny');
  const grant = opening?.rule.kind === 'deny' ? undefined : opening?.rule;
  const opaque = grant?.tunnel === true || grant?.protocol === 'any';
  if (use === 'http' || (use === 'connect' && at.port === 80 && grant !== undefined && !opaque))
    return 'plain';
  if (group.secrets.some((secret) => secret.hosts.some((pattern) => matchesHost(pattern, at)))) {
    return 'intercept';
  }
  const reads = steps.some(
    ({ rule, guard }) => (isConditional(rule) && (guard || opening !== undefined)) || rule.kind === 'approve',
  );
  return reads ? 'intercept' : 'tunnel';
}

type VerdictAsk = {
  readonly ask: SurveyAsk;
  readonly rule: CompiledRule;
  readonly guard: boolean;
  readonly treat: Treat;
  readonly judgesRequests: boolean;
  readonly otherwise: Denied;
};

function verdictOf(of: VerdictAsk): Verdict {
  const { rule } = of;
  switch (rule.kind) {
    case 'deny':
      return refusalOf(of, rule);
    case 'allow':
      return grantOf(of, rule);
    case 'approve': {
      const { ref, waitMs, rememberMs, cooldownMs, secondFactor } = rule;
      return {
        kind: 'ask',
        rule: ref,
        waitMs,
        rememberMs,
        cooldownMs,
        secondFactor,
        // biome-ignore lint/suspicious/noThenProperty: an Ask is data and never awaited
        then: grantOf(of, rule),
      };
    }
    default:
      return rule satisfies never;
  }
}

function refusalOf({ ask, guard, otherwise }: VerdictAsk, rule: DenyRule): Denied {
  if (!guard && isCatchAll(rule)) {
    const detail = [otherwise.detail, rule.reason].filter((text) => text !== undefined).join(' ');
    return denied(otherwise.reason, detail, rule.ref);
  }
  const who = guard ? 'A guardrail' : 'A rule of this group';
  return denied('rule_denied', rule.reason ?? `${who} denies ${authorityText(ask.at)}.`, rule.ref);
}

function grantOf({ ask, treat, judgesRequests }: VerdictAsk, rule: AllowRule | ApproveRule): Allow {
  return Object.freeze({
    kind: 'allow',
    rule: rule.ref,
    treat,
    addresses: rule.addresses,
    protocol: rule.protocol ?? defaultProtocol(ask.at),
    idleMs: rule.idleMs,
    prefersH2: rule.prefersH2,
    judgesRequests,
    ...(rule.tunnel ? { sealed: true } : {}),
  });
}

/** Bytes that are not TLS are refused on 443, where nothing else is expected (contract section 3). */
export function defaultProtocol(at: Authority): 'tls' | 'any' {
  return at.port === 443 ? 'tls' : 'any';
}

/**
 * Stage one: the host opens when any rule could allow a request there. Which rule it will be is not known
 * yet, so every range that one of them opens may be dialled; the request's own rule is judged again.
 */
function connectVerdict(steps: readonly HostStep[], opening: HostStep | undefined): Allow | null {
  if (opening === undefined || opening.verdict.kind === 'deny') return null;
  const first = opening.verdict.kind === 'ask' ? opening.verdict.then : opening.verdict;
  const ranges = steps.flatMap(({ rule }) => (rule.kind === 'deny' ? [] : rule.addresses));
  const prefersH2 = steps.some(({ rule }) => rule.kind !== 'deny' && rule.prefersH2);
  return Object.freeze({ ...first, addresses: [...new Set(ranges)], prefersH2 });
}

function isEveryHost(pattern: HostPattern): boolean {
  return pattern.kind === 'any' && pattern.ports === null;
}
