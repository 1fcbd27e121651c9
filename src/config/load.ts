/**
 * Reads the policies folder into one PolicySet: group files, profiles/ and guardrails.yaml together, all or
 * nothing. Everything is read into memory first, so that what was hashed is what was compiled. Called at
 * start, at every reload, and by the `check`, `explain` and `test` commands. Never throws.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { domainToASCII } from 'node:url';
import { compilePolicies, type Located } from '../policy/compile.ts';
import type { PolicySet, Problem } from '../policy/model.ts';
import {
  type GuardrailsFile,
  guardrailsSchema,
  jsonSchemaOf,
  type PolicyFile,
  policySchema,
} from '../policy/schema.ts';
import { type ProfileFile, profileSchema } from '../policy/schema-profile.ts';
import { type Issue, problemsOf } from './issues.ts';
import { suggest } from './nearest.ts';
import { readYaml, type YamlFile } from './yaml-file.ts';
import { yamlNames } from './yaml-names.ts';

export type LoadedPolicies =
  | { readonly ok: true; readonly set: PolicySet }
  | { readonly ok: false; readonly problems: readonly Problem[] };

type Kind = 'policy' | 'profile' | 'guardrails';
type Source = { readonly kind: Kind; readonly path: string; readonly file: string };

const GUARDRAILS_NAME = /^guardrails\.ya?ml$/;
const MAX_FILES = 1000;
const HASH_DIGITS = 12;

/**
 * Loads a policies folder. `only`: these group files instead of all of the folder's (the profiles and
 * guardrails beside them count all the same).
 */
export function loadPolicies(dir: string, only?: readonly string[]): LoadedPolicies {
  const problems: Problem[] = [];
  const sources = listSources(dir, only, problems);
  const groups: Located<PolicyFile>[] = [];
  const profiles: Located<ProfileFile>[] = [];
  let guardrails: Located<GuardrailsFile> | null = null;
  const hash = createHash('sha256');
  for (const source of sources) {
    const yaml = readSource(source, hash, problems);
    if (yaml === null) continue;
    if (source.kind === 'policy') groups.push(...validated(yaml, 'policy', policySchema, problems));
    else if (source.kind === 'profile') profiles.push(...validated(yaml, 'profile', profileSchema, problems));
    else guardrails = validated(yaml, 'guardrails', guardrailsSchema, problems)[0] ?? null;
  }
  if (problems.length > 0) return { ok: false, problems };
  const digest = hash.digest('hex').slice(0, HASH_DIGITS);
  const partial = only !== undefined;
  return compilePolicies({ groups, profiles, guardrails, hash: digest, partial, toAscii, suggest });
}

/** The A-label form of a host pattern with letters beyond ASCII, or ''. */
function toAscii(text: string): string {
  const [, star = '', name = '', port = ''] = /^(\*\.)?([^:]*)(:[0-9]+)?$/s.exec(text) ?? [];
  const ascii = domainToASCII(name.normalize('NFC'));
  return ascii === '' ? '' : `${star}${ascii}${port}`;
}

function listSources(
  dir: string,
  only: readonly string[] | undefined,
  problems: Problem[],
): readonly Source[] {
  const shown = basename(resolve(dir));
  const listed = yamlNames(dir, shown, problems);
  if ('code' in listed) {
    const message = 'the policies folder cannot be read';
    const fix = 'create it, or set `policies` in sallyport.yaml';
    problems.push({ file: dir, line: 0, column: 0, message, fix });
    return [];
  }
  const { names } = listed;
  const groups = only ?? names.filter((name) => !GUARDRAILS_NAME.test(name)).map((name) => join(dir, name));
  const rails = names.filter((name) => GUARDRAILS_NAME.test(name));
  if (rails.length > 1) {
    const message = 'there are two guardrails files';
    problems.push({ file: `${shown}/${rails[1]}`, line: 0, column: 0, message, fix: 'keep guardrails.yaml' });
  }
  const profiles = profileNames(dir, shown, problems);
  const sources: Source[] = [
    ...rails.map((name): Source => ({ kind: 'guardrails', path: join(dir, name), file: `${shown}/${name}` })),
    ...profiles.map((name): Source => {
      return { kind: 'profile', path: join(dir, 'profiles', name), file: `${shown}/profiles/${name}` };
    }),
    ...groups.map((path): Source => ({ kind: 'policy', path, file: `${shown}/${basename(path)}` })),
  ];
  if (sources.length > MAX_FILES) {
    const message = `there are more than ${MAX_FILES} policy files`;
    problems.push({ file: shown, line: 0, column: 0, message, fix: 'merge groups, or start another proxy' });
    return [];
  }
  return sources;
}

/** Without the folder there are none; one that cannot be read may hold what a group needs. */
function profileNames(dir: string, shown: string, problems: Problem[]): readonly string[] {
  const file = `${shown}/profiles`;
  const listed = yamlNames(join(dir, 'profiles'), file, problems);
  if ('names' in listed) return listed.names;
  if (listed.code !== 'ENOENT') {
    const message = `the folder cannot be read (${listed.code})`;
    problems.push({ file, line: 0, column: 0, message, fix: 'check its name and permissions' });
  }
  return [];
}

function readSource(
  source: Source,
  hash: ReturnType<typeof createHash>,
  problems: Problem[],
): YamlFile | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(source.path);
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    const message = `the file cannot be read (${why})`;
    problems.push({ file: source.file, line: 0, column: 0, message, fix: 'check its name and permissions' });
    return null;
  }
  hash.update(`${source.kind}\0${source.file}\0${bytes.length}\0`).update(bytes);
  const text = decode(bytes);
  if (text === null) {
    const message = 'the file is not UTF-8 text';
    problems.push({ file: source.file, ...firstBadByte(bytes), message, fix: 'save it as UTF-8' });
    return null;
  }
  const yaml = readYaml(source.file, text);
  if ('value' in yaml) return yaml;
  problems.push(...yaml);
  return null;
}

function decode(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null; // not UTF-8: the caller reports it
  }
}

/** Where the text ends that can be read. */
function firstBadByte(bytes: Buffer): { line: number; column: number } {
  const good = new TextDecoder('utf-8').decode(bytes).split('\ufffd', 1)[0] ?? '';
  const lines = good.split('\n');
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}

type Schema<T> = {
  safeParse: (
    value: unknown,
  ) =>
    | { readonly success: true; readonly data: T }
    | { readonly success: false; readonly error: { readonly issues: readonly Issue[] } };
};

function validated<T>(yaml: YamlFile, kind: Kind, schema: Schema<T>, problems: Problem[]): Located<T>[] {
  const parsed = schema.safeParse(yaml.value);
  if (parsed.success) return [{ file: yaml.file, value: parsed.data, locate: yaml.locate }];
  const misplaced = otherKind(yaml, kind);
  if (misplaced !== null) {
    problems.push(misplaced);
    return [];
  }
  problems.push(...problemsOf(yaml, parsed.error.issues, jsonSchemaOf(kind)));
  return [];
}

/** A file of one kind where those of another belong: one word on that instead of one on each of its keys. */
function otherKind(yaml: YamlFile, kind: Kind): Problem | null {
  const { value, file } = yaml;
  if (typeof value !== 'object' || value === null) return null;
  const has = (key: string): boolean => Object.hasOwn(value, key);
  const place = (message: string, fix: string, key: string): Problem => {
    return { file, ...yaml.locate([], key), message, fix };
  };
  if (kind === 'policy' && has('profile') && has('secrets') && !has('group')) {
    return place('this is a key profile', 'move it to the folder profiles/ beside the groups', 'profile');
  }
  if (kind === 'policy' && has('enforce_only') && !has('group')) {
    return place('these are guardrails', 'name the file guardrails.yaml', 'enforce_only');
  }
  if (kind === 'profile' && has('group') && !has('profile')) {
    return place("this is a group's policy", 'move it up into the policies folder', 'group');
  }
  return null;
}
