/**
 * Learned rules, tried: put into their group, in enforce mode, and asked about every call that they were made of.
 * What they would not let through (a guardrail, an address that is not public) is told, not proposed. Used by the
 * `learn` command.
 */
import { classifyAddress } from '../policy/address-class.ts';
import { parseLiteral } from '../policy/address-text.ts';
import { compileRule, type Reporter } from '../policy/compile-rule.ts';
import { type Explanation, explain } from '../policy/explain.ts';
import { type LearnedRule, type Left, learnRules, type Observation } from '../policy/learn.ts';
import type { CompiledGroup, CompiledRule, PolicySet } from '../policy/model.ts';
import { parseRequest } from './request-url.ts';

export type Proposal = {
  readonly rules: readonly LearnedRule[];
  readonly left: readonly Left[];
  /** the rule of the group that they go before; null: at the end */
  readonly before: { readonly file: string; readonly line: number; readonly text: string } | null;
};

/** `distinct`: how many different segments at one place of a path become `*`. */
export function proposeRules(
  set: PolicySet,
  group: CompiledGroup,
  ask: { readonly seen: readonly Observation[]; readonly distinct: number },
): Proposal {
  const { cache: _, ...uncached } = group;
  const enforced: CompiledGroup = { ...uncached, mode: 'enforce' };
  const now = withGroup(set, enforced);
  const left: Left[] = [];
  const wanted: Observation[] = [];
  let index = group.rules.length;
  for (const one of ask.seen) {
    const answer = answerTo(now, group.name, one);
    // The policy may have changed since.
    if (answer?.verdict === 'allow' || answer?.verdict === 'approve') continue;
    const why = answer === null ? 'it cannot be written as a request' : hindrance(answer, one);
    if (why === null) wanted.push(one);
    else left.push({ seen: one, why });
    if (why === null) index = Math.min(index, decidedBy(group, answer));
  }
  const learned = learnRules(wanted, ask.distinct);
  left.push(...learned.left);
  const compiled = learned.rules.map((rule, at) => compile(rule, at, group.file));
  const rules = [...group.rules.slice(0, index), ...compiled.flat(), ...group.rules.slice(index)];
  const then = withGroup(set, { ...enforced, rules });
  const passes = (one: Observation): boolean => answerTo(then, group.name, one)?.verdict === 'allow';
  const good = learned.rules.filter(({ from }) => from.every(passes));
  const bad = learned.rules.filter((rule) => !good.includes(rule)).flatMap(({ from }) => from);
  left.push(...bad.map((seen) => ({ seen, why: 'a rule that covers it would not be decided by itself' })));
  const ref = group.rules[index]?.ref ?? null;
  return { rules: good, left, before: ref === null ? null : pick(ref) };
}

function withGroup(set: PolicySet, group: CompiledGroup): PolicySet {
  return { ...set, groups: new Map(set.groups).set(group.name, group) };
}

function pick({ file, line, text }: { file: string; line: number; text: string }): Proposal['before'] {
  return { file, line, text };
}

function answerTo(set: PolicySet, group: string, seen: Observation): Explanation | null {
  const { host, port, method, path, scheme } = seen;
  const at = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const request =
    method === null
      ? parseRequest('CONNECT', at)
      : parseRequest(method, `${scheme}://${at}${withoutQuery(path ?? '/')}`);
  return 'problem' in request ? null : explain(set, { group, ...request });
}

/** The record has `?…` in place of a query, which is no part of what rules judge. */
function withoutQuery(path: string): string {
  return path.replace(/[?#].*$/s, '');
}

/** Why nobody should be asked to allow this. */
function hindrance(answer: Explanation, { host }: Observation): string | null {
  const rail = answer.rules.find((rule) => rule.guardrail && rule.matched);
  if (rail !== undefined) return `a guardrail refuses it: ${rail.text} (${rail.file}:${rail.line})`;
  if (answer.reason === 'rule_denied' && answer.rule !== null) {
    const { text, file, line } = answer.rule;
    return `a rule of the group names it: ${text} (${file}:${line})`;
  }
  const literal = parseLiteral(host);
  if (literal !== null && !classifyAddress(literal.text).public) {
    return 'it is not a public address: a rule for it needs `addresses`, by hand';
  }
  return null;
}

/** The place of the rule that refuses; behind all where none does. */
function decidedBy(group: CompiledGroup, answer: Explanation | null): number {
  const { rule } = answer ?? { rule: null };
  const at = group.rules.findIndex(({ ref }) => ref.line === rule?.line && ref.file === rule.file);
  return at === -1 ? group.rules.length : at;
}

function compile(rule: LearnedRule, index: number, file: string): readonly CompiledRule[] {
  const faults: string[] = [];
  const to: Reporter = {
    file,
    locate: () => ({ line: 0, column: 0 }),
    problem: (_path, message) => faults.push(message),
    warn: () => {},
    toAscii: () => '',
  };
  const { allow, methods, paths } = rule;
  const written = {
    allow: [allow],
    ...(methods === null ? {} : { methods: [...methods] }),
    ...(paths === null ? {} : { paths: [...paths] }),
  };
  const compiled = compileRule(written, ['rules', index], index, to);
  return faults.length === 0 ? [compiled] : [];
}
