/**
 * One rule of a file becomes a CompiledRule: patterns parsed, units in milliseconds, combinations that
 * cannot be kept refused. Called by `compile.ts` for groups and guardrails.
 */
import type { Cidr } from '../flow/verdict.ts';
import { parseCidr } from './address-text.ts';
import { type HostPattern, isHostPattern, parseHostPattern } from './host-pattern.ts';
import type { AllowRule, ApproveRule, CompiledRule, DenyRule, Grant } from './model.ts';
import { type PathPattern, parsePathPattern } from './path-pattern.ts';
import type { DenyFile, RuleFile } from './schema.ts';
import { DEFAULT_IDLE_MS } from './survey.ts';
import { durationMs } from './units.ts';

export type FilePath = readonly (string | number)[];

/** Collects what is wrong with one file; knows where its values stand. */
export type Reporter = {
  readonly file: string;
  readonly locate: (path: FilePath) => { readonly line: number; readonly column: number };
  readonly problem: (path: FilePath, message: string, fix: string) => void;
  readonly warn: (path: FilePath, message: string, fix: string) => void;
  /** UTS #46 to A-labels; empty when it cannot */
  readonly toAscii: (name: string) => string;
};

const DEFAULT_WAIT_MS = 300_000;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const NEVER_PASSED = ['TRACE', 'CONNECT'];
const MAX_SHOWN_HOSTS = 3;

/** Compiles one rule at `path`. A host or path pattern that does not parse is reported and left out. */
export function compileRule(
  rule: RuleFile | DenyFile,
  path: FilePath,
  index: number,
  to: Reporter,
): CompiledRule {
  const [kind, written] = kindOf(rule);
  const hosts = compileHosts({
    written,
    path: [...path, kind],
    ports: rule.ports ?? null,
    to: kind === 'deny' ? { ...to, warn: () => undefined } : to,
  });
  const { line } = to.locate(path);
  const base = {
    ref: { file: to.file, line, text: `${kind} ${summary(hosts.map(({ text }) => text))}` },
    index,
    hosts,
    methods: compileMethods(rule, path, to),
    paths: compilePaths(rule, path, to),
  };
  if ('deny' in rule) return { ...base, kind: 'deny', reason: rule.reason } satisfies DenyRule;
  const grant = compileGrant(rule, path, to);
  if ('allow' in rule) {
    checkTunnel(rule, path, to);
    return { ...base, ...grant, kind: 'allow' } satisfies AllowRule;
  }
  return {
    ...base,
    ...grant,
    kind: 'approve',
    waitMs: rule.wait === undefined ? DEFAULT_WAIT_MS : durationMs(rule.wait),
    rememberMs: durationMs(rule.remember ?? '0s'),
    cooldownMs: durationMs(rule.cooldown ?? '0s'),
    secondFactor: rule.second_factor ?? false,
  } satisfies ApproveRule;
}

/** Parses a list of host patterns; each fault is reported at its place. */
export function compileHosts(of: {
  written: string | readonly string[];
  path: FilePath;
  ports?: readonly number[] | null;
  to: Reporter;
}): readonly HostPattern[] {
  const list = typeof of.written === 'string' ? [of.written] : of.written;
  return list.flatMap((text, at) => {
    const place = typeof of.written === 'string' ? of.path : [...of.path, at];
    const parsed = parseHostPattern(text, of.ports ?? null);
    if (!isHostPattern(parsed)) {
      const ascii = parsed.beyondAscii === true ? of.to.toAscii(text) : '';
      of.to.problem(place, parsed.message, ascii === '' ? parsed.fix : `write "${ascii}"`);
      return [];
    }
    if (parsed.warning !== undefined) of.to.warn(place, parsed.warning, 'name the sites one by one');
    return [parsed];
  });
}

/** CIDRs in canonical form; others are reported with the right spelling. */
export function compileCidrs(written: readonly string[], path: FilePath, to: Reporter): readonly Cidr[] {
  return written.flatMap((text, at) => {
    const parsed = parseCidr(text);
    if ('cidr' in parsed) return [parsed.cidr];
    to.problem([...path, at], `"${text}" is no address range in canonical form`, parsed.fix);
    return [];
  });
}

function kindOf(rule: RuleFile | DenyFile): ['allow' | 'deny' | 'approve', string | readonly string[]] {
  if ('deny' in rule) return ['deny', rule.deny];
  return 'allow' in rule ? ['allow', rule.allow] : ['approve', rule.approve];
}

function summary(texts: readonly string[]): string {
  const shown = texts.slice(0, MAX_SHOWN_HOSTS).join(', ');
  return texts.length > MAX_SHOWN_HOSTS ? `${shown} and ${texts.length - MAX_SHOWN_HOSTS} more` : shown;
}

function compileMethods(rule: RuleFile | DenyFile, path: FilePath, to: Reporter): ReadonlySet<string> | null {
  if (rule.methods === undefined) return null;
  rule.methods.forEach((method, at) => {
    const place = [...path, 'methods', at];
    if (!TOKEN.test(method) || method === '*') {
      const meant = method.trim().toUpperCase();
      const fix =
        TOKEN.test(meant) && meant !== '*' ? `write ${meant}` : 'leave `methods` out to allow every method';
      to.problem(place, `"${method}" is no HTTP method`, fix);
    } else if (method !== method.toUpperCase()) {
      to.problem(place, `"${method}": methods are case-sensitive`, `write ${method.toUpperCase()}`);
    } else if (NEVER_PASSED.includes(method)) {
      to.problem(place, `${method} is never passed on inside a connection`, 'remove it');
    }
  });
  return new Set(rule.methods);
}

function compilePaths(
  rule: RuleFile | DenyFile,
  path: FilePath,
  to: Reporter,
): readonly PathPattern[] | null {
  if (rule.paths === undefined) return null;
  return rule.paths.flatMap((text, at) => {
    const parsed = parsePathPattern(text);
    if ('segments' in parsed) return [parsed];
    to.problem([...path, 'paths', at], parsed.message, parsed.fix);
    return [];
  });
}

function compileGrant(rule: Exclude<RuleFile, { deny: unknown }>, path: FilePath, to: Reporter): Grant {
  return {
    addresses: compileCidrs(rule.addresses ?? [], [...path, 'addresses'], to),
    tunnel: 'tls' in rule && rule.tls === 'tunnel',
    protocol: 'protocol' in rule ? (rule.protocol ?? null) : null,
    idleMs: rule.idle === undefined ? DEFAULT_IDLE_MS : durationMs(rule.idle),
    prefersH2: rule.http2 === 'prefer',
  };
}

function checkTunnel(rule: Extract<RuleFile, { allow: unknown }>, path: FilePath, to: Reporter): void {
  const judged = ['methods', 'paths'].filter((key) => Object.hasOwn(rule, key));
  if (rule.tls !== undefined && judged.length > 0) {
    const message = `\`tls: tunnel\` hides the requests that \`${judged.join('` and `')}\` would judge`;
    to.problem([...path, 'tls'], message, 'keep one of the two');
  }
  if (rule.tls !== undefined && rule.http2 !== undefined) {
    const message =
      '`http2` chooses the protocol inside TLS that the proxy ends, which `tls: tunnel` forbids';
    to.problem([...path, 'http2'], message, 'remove it: a tunnel carries what client and host agree on');
  }
  if (rule.protocol === 'any' && judged.length > 0) {
    const message = `\`protocol: any\` cannot be kept where \`${judged.join('` and `')}\` judge requests`;
    to.problem([...path, 'protocol'], message, 'keep one of the two');
  }
}
