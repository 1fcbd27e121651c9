/**
 * Schema findings in words: what a zod issue says, as Problems with line, column and fix. Works on plain data,
 * so that only the schema files know zod. Called by `load.ts` and `settings.ts`.
 */
import type { Problem } from '../policy/model.ts';
import { choiceFix, typeFix, typeWord } from './fixes.ts';
import { isRecord, knownKeys, RULE_KINDS, valueAt } from './known-keys.ts';
import { suggest } from './nearest.ts';
import { addFix, formFix, isCredential, type Limit, limitWords } from './value-fixes.ts';
import type { YamlFile, YamlPath } from './yaml-file.ts';

/** What is used of a zod issue. */
export type Issue = Limit & {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
  readonly values?: readonly unknown[];
  readonly expected?: string;
  readonly errors?: readonly (readonly Issue[])[];
};

type Found = {
  readonly path: YamlPath;
  readonly key?: string;
  readonly message: string;
  readonly fix: string;
};

const MAX_PROBLEMS = 50;
const MAX_PORT = 65_535;
const PORT_FIX = `write a port from 1 to ${MAX_PORT}`;

/** One Problem per finding, in file order. `schema` is the JSON Schema of the file, for the known keys. */
export function problemsOf(yaml: YamlFile, issues: readonly Issue[], schema: object): readonly Problem[] {
  const found = issues.flatMap((issue) => wordsFor(issue, [], yaml.value, schema));
  const placed = found.map(({ path, key, message, fix }) => {
    return { file: yaml.file, ...yaml.locate(path, key), message, fix };
  });
  placed.sort((a, b) => a.line - b.line || a.column - b.column);
  return placed.slice(0, MAX_PROBLEMS);
}

function wordsFor(issue: Issue, base: YamlPath, root: unknown, schema: object): readonly Found[] {
  const path = [...base, ...issue.path.map((step) => (typeof step === 'number' ? step : String(step)))];
  const value = valueAt(root, path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return (issue.keys ?? []).map((key) => unknownKey(path, key, root, schema));
    case 'invalid_union':
      return unionWords(issue, path, root, schema);
    case 'invalid_value':
    case 'invalid_type': {
      if (value === undefined) return missing(path, root);
      if (path.length === 0 && typeof value === 'string') return [NO_KEYS];
      const wanted = issue.code === 'invalid_type' ? typeFix : choiceFix;
      const fix = wanted(issue, path.at(-1), value);
      return [{ path, message: `${name(path)} cannot be ${show(value, path)}`, fix }];
    }
    case 'invalid_format':
    case 'custom':
      return [formWords(issue, path, value)];
    default:
      return [boundWords(issue, path, value)];
  }
}

/** A text of another form than it should have. */
function formWords({ message }: Issue, path: YamlPath, value: unknown): Found {
  const fix = portTooHigh(value) ? PORT_FIX : formFix(path.at(-1), value, message);
  const shown = isCredential(path.at(-1)) ? '' : ` ${show(value, path)}`;
  return { path, message: `${name(path)}${shown} ${message}`, fix };
}

/** Too much or too little of something. */
function boundWords(issue: Issue, path: YamlPath, value: unknown): Found {
  if (path.at(-2) === 'ports') return { path, message: `${show(value, path)} is no port`, fix: PORT_FIX };
  const { message, fix } = limitWords(issue, show(value, path));
  return { path, message: `${name(path)} ${message}`, fix };
}

/** Its text is not shown: whoever checks the wrong file may have named one with a key in it. */
const NO_KEYS: Found = {
  path: [],
  message: 'the file is one text, and no block of keys',
  fix: 'write `key: value`, with a blank behind each colon',
};

function unknownKey(path: YamlPath, key: string, root: unknown, schema: object): Found {
  const known = knownKeys(schema, path, root);
  const inRule = path.includes('rules');
  if (inRule && RULE_KINDS.includes(key) && known.includes('deny') && !known.includes('allow')) {
    return { path, key, message: `\`${key}\` cannot stand here`, fix: 'guardrails hold `deny` rules only' };
  }
  const value = valueAt(root, path);
  const kind = isRecord(value) && inRule ? RULE_KINDS.find((one) => Object.hasOwn(value, one)) : undefined;
  const owner = Object.hasOwn(KIND_KEYS, key) ? KIND_KEYS[key] : undefined;
  if (kind !== undefined && owner !== undefined) {
    const message = `\`${key}\` does not belong to a rule of kind \`${kind}\``;
    return { path, key, message, fix: `remove it: it belongs to ${owner} rule` };
  }
  return { path, key, message: `unknown key \`${key}\``, fix: suggest(key, known) };
}

function unionWords(issue: Issue, path: YamlPath, root: unknown, schema: object): readonly Found[] {
  const value = valueAt(root, path);
  if (value === undefined) return missing(path, root);
  const branches = issue.errors ?? [];
  if (isRecord(value) && path.at(-2) === 'rules') return ruleWords(branches, path, root, schema);
  const typed = branches.filter((branch) => !branch.some(wrongKind));
  if (typed.length === 1) return (typed[0] ?? []).flatMap((one) => wordsFor(one, path, root, schema));
  const wrong = branches.flat().find((one) => one.path.length > 0 && one.code !== 'unrecognized_keys');
  if (wrong !== undefined) return wordsFor(wrong, path, root, schema);
  const kinds = [...new Set(branches.flat().map((one) => typeWord(one)))].join(' or ');
  const fix =
    path.at(-2) === 'rules' && typeof value === 'string' ? `write "allow: ${value}"` : `write ${kinds}`;
  return [{ path, message: `${name(path)} cannot be ${show(value, path)}`, fix }];
}

/** The value is of another kind altogether than this branch of a union wants. */
function wrongKind(issue: Issue): boolean {
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value');
}

function ruleWords(
  branches: readonly (readonly Issue[])[],
  path: YamlPath,
  root: unknown,
  schema: object,
): readonly Found[] {
  const value = valueAt(root, path);
  const keys = isRecord(value) ? Object.keys(value) : [];
  const kinds = keys.filter((key) => RULE_KINDS.includes(key));
  const [kind] = kinds;
  if (kind === undefined) {
    const slip = keys.find((key) => suggest(key, RULE_KINDS).startsWith('did'));
    const fix = slip === undefined ? 'start the rule with one of them' : suggest(slip, RULE_KINDS);
    const at = slip === undefined ? { path } : { path, key: slip };
    return [{ ...at, message: 'a rule needs one of `allow`, `deny`, `approve`', fix }];
  }
  if (kinds.length > 1) {
    return [{ path, message: `a rule cannot be ${kinds.join(' and ')} at once`, fix: 'make them two rules' }];
  }
  // The branch of this kind is the one that does not call the kind's key unknown.
  const branch = branches.find((issues) => !issues.some((one) => one.keys?.includes(kind) === true)) ?? [];
  return branch.flatMap((one) => wordsFor(one, path, root, schema));
}

const KIND_KEYS: Readonly<Record<string, string>> = {
  tls: 'an `allow`',
  protocol: 'an `allow`',
  addresses: 'an `allow` or `approve`',
  idle: 'an `allow` or `approve`',
  wait: 'an `approve`',
  remember: 'an `approve`',
  cooldown: 'an `approve`',
  second_factor: 'an `approve`',
  reason: 'a `deny`',
};

/** Nothing of a guardrail that is an `allow`: that it cannot be one is said already. */
function missing(path: YamlPath, root: unknown): readonly Found[] {
  const rule = valueAt(root, path.slice(0, -1));
  if (path.at(-1) === 'deny' && isRecord(rule) && RULE_KINDS.some((kind) => Object.hasOwn(rule, kind))) {
    return [];
  }
  return [{ path, message: `${name(path)} is missing`, fix: addFix(path.at(-1)) }];
}

function name(path: YamlPath): string {
  const last = path.at(-1);
  if (last === undefined) return 'the file';
  return typeof last === 'number' ? `entry ${last + 1} of \`${String(path.at(-2))}\`` : `\`${last}\``;
}

function show(value: unknown, path: YamlPath): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a block of keys';
  if (typeof value === 'string' && isCredential(path.at(-1))) return 'what it is';
  const text = JSON.stringify(value) ?? 'that';
  return text.length > 60 ? `${text.slice(0, 57)}..."` : text;
}

/** `host:port` with a number that is no port. */
function portTooHigh(value: unknown): boolean {
  return typeof value === 'string' && Number(/:([0-9]{1,9})$/.exec(value)?.[1] ?? 0) > MAX_PORT;
}
