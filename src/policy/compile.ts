/**
 * Policy files become one PolicySet: pure, all or nothing. `config/load.ts` reads and validates the files and
 * calls this; a set with any problem is never used (fail closed, the old one stays).
 */
import { LRUCache } from 'lru-cache';
import { inRanges } from './address-text.ts';
import { withoutExcluded } from './compile-aws.ts';
import { type CompiledProfile, compileProfile } from './compile-profile.ts';
import { compileCidrs, compileRule, type FilePath, type Reporter } from './compile-rule.ts';
import { lintSet } from './lint.ts';
import type { CompiledGroup, CompiledRule, GroupLimits, PolicySet, PolicyTest, Problem } from './model.ts';
import { tunnelConflict, unreachable } from './reach.ts';
import type { GuardrailsFile, PolicyFile } from './schema.ts';
import type { ProfileFile } from './schema-profile.ts';
import { sourceOverlaps } from './source-table.ts';
import { byteRate, requestRate } from './units.ts';

/** A validated file and where its values stand. */
export type Located<T> = {
  readonly file: string;
  readonly value: T;
  readonly locate: (path: FilePath) => { readonly line: number; readonly column: number };
};

export type CompileInput = {
  readonly groups: readonly Located<PolicyFile>[];
  readonly profiles: readonly Located<ProfileFile>[];
  readonly guardrails: Located<GuardrailsFile> | null;
  readonly hash: string;
  /** not the whole folder: nothing can be said of what is unused */
  readonly partial?: boolean;
  /** UTS #46 to A-labels, empty when it cannot: for fixes only */
  readonly toAscii: (name: string) => string;
  /** "did you mean" for a misspelt word, for fixes only */
  readonly suggest: (word: string, known: readonly string[]) => string;
};

export type Compiled =
  | { readonly ok: true; readonly set: PolicySet }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Hosts and ports whose rules are kept per group: its own share, so that one group cannot evict another's. */
const MAX_CACHED_HOSTS = 2048;

/** Compiles all files together, or says everything that is wrong with them. */
export function compilePolicies(input: CompileInput): Compiled {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const report = (file: Located<unknown>) => reporter({ file, input, problems, warnings });
  const profiles = new Map<string, CompiledProfile>();
  for (const file of input.profiles) {
    const to = report(file);
    const profile = compileProfile(file.value, to);
    if (profiles.has(profile.name)) {
      to.problem(
        ['profile'],
        `profile ${profile.name} is defined in another file, too`,
        'rename one of them',
      );
    }
    profiles.set(profile.name, profile);
  }
  const guardrails = compileGuardrails(input.guardrails, report);
  const enforceOnly = input.guardrails?.value.enforce_only ?? false;
  const groups = new Map<string, CompiledGroup>();
  for (const file of input.groups) {
    const to = report(file);
    const group = compileGroup({ file, profiles, enforceOnly, input }, to);
    const first = groups.get(group.name);
    if (first !== undefined) {
      to.problem(['group'], `group ${group.name} is defined in ${first.file}, too`, 'rename one of them');
    }
    groups.set(group.name, group);
  }
  const set: PolicySet = { groups, guardrails, enforceOnly, hash: input.hash, warnings };
  for (const file of input.groups) checkGroup(set, file, report(file));
  checkOverlaps(input, groups, report);
  if (problems.length > 0) return { ok: false, problems: inOrder(problems) };
  warnings.push(...lintSet(set, input));
  inOrder(warnings);
  return { ok: true, set: Object.freeze(set) };
}

type GroupAsk = {
  readonly file: Located<PolicyFile>;
  readonly profiles: ReadonlyMap<string, CompiledProfile>;
  readonly enforceOnly: boolean;
  readonly input: CompileInput;
};

function reporter(of: {
  file: Located<unknown>;
  input: CompileInput;
  problems: Problem[];
  warnings: Problem[];
}): Reporter {
  const { file, locate } = of.file;
  return {
    file,
    locate,
    problem: (path, message, fix) => of.problems.push({ file, ...locate(path), message, fix }),
    warn: (path, message, fix) => of.warnings.push({ file, ...locate(path), message, fix }),
    toAscii: of.input.toAscii,
  };
}

function compileGuardrails(
  file: Located<GuardrailsFile> | null,
  report: (file: Located<unknown>) => Reporter,
): readonly CompiledRule[] {
  if (file === null) return [];
  const to = report(file);
  return file.value.rules.map((rule, at) => compileRule(rule, ['rules', at], at, to));
}

function compileGroup({ file, profiles, enforceOnly, input }: GroupAsk, to: Reporter): CompiledGroup {
  const { value } = file;
  if (enforceOnly && value.mode === 'monitor') {
    to.problem(['mode'], 'the guardrails forbid monitor mode (`enforce_only`)', 'write mode: enforce');
  }
  const profile = value.profile === undefined ? undefined : profiles.get(value.profile);
  if (value.profile !== undefined && profile === undefined) {
    const fix = input.suggest(value.profile, [...profiles.keys()]);
    to.problem(['profile'], `there is no profile "${value.profile}" under profiles/`, fix);
  }
  const known = profile?.secrets.map(({ env }) => env) ?? [];
  value.exclude.forEach((env, at) => {
    if (known.includes(env)) return;
    if (value.profile === undefined) {
      to.problem(
        ['exclude', at],
        'there is no `profile` to leave keys out of',
        'name a profile, or remove `exclude`',
      );
      return;
    }
    to.problem(['exclude', at], `the profile has no key ${env}`, input.suggest(env, known));
  });
  const secrets = withoutExcluded(profile?.secrets ?? [], value.exclude);
  return {
    name: value.group,
    ...(value.description === undefined ? {} : { description: value.description }),
    mode: value.mode,
    sources: compileCidrs(value.identify?.sources ?? [], ['identify', 'sources'], to),
    token: value.identify?.token ?? 'optional',
    refuse: value.refuse,
    rules: value.rules.map((rule, at) => compileRule(rule, ['rules', at], at, to)),
    secrets,
    hidden: profile?.secrets.filter((secret) => !secrets.includes(secret)) ?? [],
    secretTotal: known.length,
    excluded: value.exclude,
    ...(value.profile === undefined ? {} : { profile: value.profile }),
    ...(value.limits === undefined ? {} : { limits: compileLimits(value.limits) }),
    tests: compileTests(value, to),
    file: file.file,
    cache: new LRUCache({ max: MAX_CACHED_HOSTS }),
  };
}

function compileLimits(limits: NonNullable<PolicyFile['limits']>): GroupLimits {
  return {
    ...(limits.connections === undefined ? {} : { connections: limits.connections }),
    ...(limits.requests === undefined ? {} : { requests: requestRate(limits.requests) }),
    ...(limits.upload === undefined ? {} : { upload: byteRate(limits.upload) }),
    ...(limits.download === undefined ? {} : { download: byteRate(limits.download) }),
  };
}

function compileTests(value: PolicyFile, to: Reporter): readonly PolicyTest[] {
  return value.tests.map((row, at) => {
    const { line } = to.locate(['tests', at]);
    const { request, ...rest } = row;
    if (row.expect !== 'deny' && row.reason !== undefined) {
      to.problem(['tests', at, 'reason'], 'only a refusal has a reason', 'remove `reason`, or expect: deny');
    }
    return { request, ...rest, at: { file: to.file, line, text: request } };
  });
}

/** What needs the whole set: guardrails and rules together decide what is reachable. */
function checkGroup(set: PolicySet, file: Located<PolicyFile>, to: Reporter): void {
  const group = set.groups.get(file.value.group);
  if (group === undefined || group.file !== file.file) return;
  for (const secret of group.secrets) {
    for (const pattern of unreachable(set, group, secret)) {
      const message = `key ${secret.env} (${secret.at.file}:${secret.at.line}) goes to ${pattern.text}, which no rule of this group reaches over TLS`;
      to.problem(['profile'], message, `add "- allow: ${pattern.text}", or exclude: [${secret.env}]`);
    }
  }
  checkTunnels(set, group, to);
}

/** What is tunnelled unread is judged by no rule and holds no key. */
function checkTunnels(set: PolicySet, group: CompiledGroup, to: Reporter): void {
  for (const rule of group.rules) {
    if (rule.kind !== 'allow' || !rule.tunnel) continue;
    const conflict = tunnelConflict(set, group, rule);
    // Its own methods and paths were said of the rule itself.
    if (conflict === null || conflict === rule) continue;
    const ref = 'env' in conflict ? conflict.at : conflict.ref;
    const message = `\`tls: tunnel\` hides what "${ref.text}" (${ref.file}:${ref.line}) needs to read`;
    const fix =
      'env' in conflict
        ? 'remove `tls: tunnel`, or exclude the key'
        : 'put this rule above that one, or drop one';
    to.problem(['rules', rule.index, 'tls'], message, fix);
  }
}

function checkOverlaps(
  input: CompileInput,
  groups: ReadonlyMap<string, CompiledGroup>,
  report: (file: Located<unknown>) => Reporter,
): void {
  for (const [cidr, first, second] of sourceOverlaps(groups.values())) {
    const file = input.groups.find(({ value }) => value.group === second);
    if (file === undefined) continue;
    const list = file.value.identify?.sources ?? [];
    const at = list.findIndex((text) => text === cidr || inRanges(text, [cidr]));
    const message = `${cidr} belongs to group ${first} as well`;
    report(file).problem(['identify', 'sources', Math.max(at, 0)], message, 'give each group its own range');
  }
}

function inOrder(problems: Problem[]): readonly Problem[] {
  return problems.sort((a, b) => a.file.localeCompare(b.file) || a.line - b.line || a.column - b.column);
}
