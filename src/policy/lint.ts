/**
 * What is legal but unwise in a policy set: warnings of `sallyport check`. Never stops a policy from loading.
 */
import { classifyAddress } from './address-class.ts';
import { inRanges, parseCidr, parseLiteral } from './address-text.ts';
import { coversHost, type HostPattern } from './host-pattern.ts';
import { lintLimits } from './lint-limits.ts';
import type { CompiledGroup, CompiledRule, PolicySet, Problem } from './model.ts';
import type { PolicyFile } from './schema.ts';
import type { ProfileFile } from './schema-profile.ts';
import { isCatchAll, isConditional } from './survey.ts';

type Files = {
  readonly groups: readonly Placed<PolicyFile>[];
  readonly profiles: readonly Placed<ProfileFile>[];
  /** not the whole folder: nothing can be said of what is unused */
  readonly partial?: boolean;
};
type Placed<T> = {
  readonly file: string;
  readonly value: T;
  readonly locate: (path: readonly (string | number)[]) => { readonly line: number; readonly column: number };
};
type Warn = (path: readonly (string | number)[], message: string, fix: string) => void;

/** Front ends that very many sites share: inside an unread tunnel the Host header can name another one. */
const SHARED_FRONTS = [
  'cloudfront.net',
  'amazonaws.com',
  'azureedge.net',
  'azurefd.net',
  'fastly.net',
  'workers.dev',
  'pages.dev',
  'googleapis.com',
  'googleusercontent.com',
  'akamaized.net',
  'herokuapp.com',
  'vercel.app',
  'netlify.app',
];
/** A range with fewer fixed bits than this opens more than one organisation's network. */
const WIDE_BITS = { v4: 8, v6: 16 } as const;

/** All warnings of a set that compiled, in no particular order. */
export function lintSet(set: PolicySet, files: Files): readonly Problem[] {
  const found: Problem[] = [];
  const warner =
    (file: Placed<unknown>): Warn =>
    (path, message, fix) =>
      found.push({ file: file.file, ...file.locate(path), message, fix });
  for (const file of files.groups) {
    const group = set.groups.get(file.value.group);
    if (group !== undefined) lintGroup(group, warner(file));
  }
  for (const file of files.profiles) {
    const warn = warner(file);
    lintAws(file.value, warn);
    lintMints(file.value, warn);
    if (files.partial !== true && !files.groups.some(({ value }) => value.profile === file.value.profile)) {
      warn(
        ['profile'],
        `no group uses profile ${file.value.profile}`,
        'name it in a group, or remove the file',
      );
    }
  }
  for (const [dead, by] of deadRules(set.guardrails)) found.push(deadWords(dead, by));
  if (set.groups.size === 0 && files.partial !== true) {
    const message = 'there is no group: every request is refused';
    found.push({ file: 'policies', line: 0, column: 0, message, fix: 'add a policy file' });
  }
  return found;
}

function lintGroup(group: CompiledGroup, warn: Warn): void {
  if (group.mode === 'monitor') {
    warn(
      ['mode'],
      'monitor mode lets through what enforce mode would refuse',
      'write mode: enforce when learnt',
    );
  }
  if (group.rules.length === 0) {
    const fix = group.mode === 'monitor' ? 'add "- deny: \\"*\\"" to record everything' : 'add rules';
    warn(['rules'], 'a group without rules is refused everything, in monitor mode, too', fix);
  }
  group.sources.forEach((cidr, at) => {
    if (isWide(cidr))
      warn(['identify', 'sources', at], `${cidr} is a very wide range`, 'name the bridge network');
  });
  for (const { key, message, fix } of lintLimits(group.limits ?? {}, group.mode === 'monitor')) {
    warn(['limits', key], message, fix);
  }
  for (const rule of group.rules) lintRule(rule, warn);
  for (const [dead, by] of deadRules(group.rules)) {
    warn(['rules', dead.index], deadWords(dead, by).message, deadWords(dead, by).fix);
  }
}

function lintRule(rule: CompiledRule, warn: Warn): void {
  const path = ['rules', rule.index];
  if (rule.kind === 'deny') return;
  if (rule.hosts.some((pattern) => pattern.kind === 'any')) {
    warn([...path, rule.kind], '`*` reaches every public host', 'name the hosts that are needed');
  }
  rule.hosts.forEach((pattern, at) => {
    const wrong = unreachable(pattern, rule.addresses);
    if (wrong !== null) warn([...path, rule.kind, ...(rule.hosts.length > 1 ? [at] : [])], ...wrong);
  });
  rule.addresses.forEach((cidr, at) => {
    if (isWide(cidr)) warn([...path, 'addresses', at], `${cidr} is a very wide range`, 'name the networks');
  });
  const shared = rule.tunnel ? rule.hosts.find(isSharedFront) : undefined;
  if (shared !== undefined) {
    const message = `${shared.text} is a front end of many sites: inside a tunnel another of them can be asked for`;
    warn([...path, 'tls'], message, 'remove `tls: tunnel` where the client allows it');
  }
}

/** An address that the address guard refuses all the same. */
function unreachable({ host, kind }: HostPattern, opened: readonly string[]): [string, string] | null {
  if (kind !== 'exact' || parseLiteral(host) === null) return null;
  const { metadata, public: open } = classifyAddress(host);
  if (metadata) return [`${host} is a metadata service, which no rule can open`, 'remove it'];
  if (open || inRanges(host, opened)) return null;
  return [`${host} is not public: this rule does not open it`, `add addresses: ["${host}"]`];
}

/** What a set may sign for is then said by nothing but IAM. */
function lintAws({ aws }: ProfileFile, warn: Warn): void {
  aws.forEach((set, at) => {
    set.hosts.forEach((host, index) => {
      if (set.services !== undefined || !/^\*\.(?:[a-z]{2}-[a-z]+-\d\.)?amazonaws\.com(?::|$)/.test(host))
        return;
      const message = `${host} is every service of AWS, and every bucket of others`;
      warn(['aws', at, 'hosts', index], message, 'name the endpoints, or write services: [s3]');
    });
  });
}

function lintMints({ mint, secrets }: ProfileFile, warn: Warn): void {
  for (const name of Object.keys(mint)) {
    if (secrets.some(({ from }) => from === `mint:${name}`)) continue;
    warn(['mint', name], `no key of this profile is from mint:${name}`, 'use it, or remove it');
  }
}

function isSharedFront(pattern: HostPattern): boolean {
  return SHARED_FRONTS.some((front) => pattern.host === front || pattern.host.endsWith(`.${front}`));
}

function isWide(cidr: string): boolean {
  const parsed = parseCidr(cidr);
  return 'cidr' in parsed && parsed.bits < (parsed.v6 ? WIDE_BITS.v6 : WIDE_BITS.v4);
}

/** Rules that an earlier unconditional rule of the same list leaves nothing to decide. */
function deadRules(rules: readonly CompiledRule[]): readonly (readonly [CompiledRule, CompiledRule])[] {
  return rules.flatMap((rule, at) => {
    const by = rules.slice(0, at).find((earlier) => !isConditional(earlier) && coversRule(earlier, rule));
    return by === undefined ? [] : [[rule, by] as const];
  });
}

function coversRule(earlier: CompiledRule, rule: CompiledRule): boolean {
  if (isCatchAll(earlier)) return true;
  return rule.hosts.every((host) =>
    earlier.hosts.some((over) => coversHost(over, host) && coversPorts(earlier, over, host)),
  );
}

function coversPorts(earlier: CompiledRule, over: HostPattern, host: HostPattern): boolean {
  if (over.ports === null) {
    return earlier.kind === 'deny' || host.ports === null;
  }
  const ports = over.ports;
  return host.ports?.every((port) => ports.includes(port)) ?? false;
}

function deadWords(dead: CompiledRule, by: CompiledRule): Problem {
  const message = `"${dead.ref.text}" is never reached: "${by.ref.text}" (line ${by.ref.line}) decides before it`;
  const fix = 'put the narrower rule first, or remove it';
  return { file: dead.ref.file, line: dead.ref.line, column: 0, message, fix };
}
