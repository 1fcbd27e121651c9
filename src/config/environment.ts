/**
 * Settings from the environment: SALLYPORT_PROXY_LISTEN for `proxy.listen`, and so on for every key. Lists
 * are separated by commas; `dns.hosts` is written `name=address|address,…`; `null` switches off; empty is
 * as good as not set. Called by `settings.ts`.
 */
import type { Problem } from '../policy/model.ts';
import { isRecord } from './known-keys.ts';
import { nearestWord } from './nearest.ts';
import type { Position, YamlFile, YamlPath } from './yaml-file.ts';

/** Variables that are written in another form than the file. */
const FORMS: ReadonlyMap<string, string> = new Map([
  ['$SALLYPORT_DNS_HOSTS', 'name=address|address,name=address, for example api.test=127.0.0.1|::1'],
]);

type Key = { readonly path: readonly string[]; readonly kind: 'text' | 'number' | 'list' | 'table' };

const PREFIX = 'SALLYPORT_';
/** Read elsewhere, so no misspelling of a setting. */
const OTHERS: ReadonlySet<string> = new Set([
  'SALLYPORT_CONFIG',
  'SALLYPORT_DEBUG',
  'SALLYPORT_DIR',
  'SALLYPORT_COMMAND_ENV',
  ...['VAULT_PASSPHRASE', 'VAULT_KEY', 'REDIS_PASSWORD', 'REDIS_KEY', 'OPERATOR_TOKEN'].flatMap((name) => [
    `SALLYPORT_${name}`,
    `SALLYPORT_${name}_FILE`,
  ]),
]);
/** A slip of the fingers; more is another variable (orchestrators set SALLYPORT_PORT_8080_TCP and the like). */
const MAX_NAME_SLIP = 2;

/**
 * The file's value with the environment laid over it. A value that came from a variable is located by that
 * variable's name. A variable one slip away from a key is a problem: it would silently do nothing.
 */
export function applyEnvironment(
  yaml: YamlFile,
  env: Readonly<Record<string, string | undefined>>,
  schema: object,
): { yaml: YamlFile } | { problems: readonly Problem[] } {
  const keys = new Map(keysOf(schema, []).map((key) => [variableOf(key.path), key]));
  const given = Object.entries(env).filter(([name, text]) => name.startsWith(PREFIX) && text !== '');
  const problems = given.flatMap(([name]) => misspelt(name, keys));
  if (problems.length > 0) return { problems };
  const value = structuredClone(yaml.value);
  const fromEnv = new Map<string, string>();
  for (const [name, text] of given) {
    const key = keys.get(name);
    if (key === undefined || text === undefined) continue;
    if (put(value, key.path, parse(text, key.kind))) fromEnv.set(key.path.join('.'), name);
  }
  if (fromEnv.size === 0) return { yaml };
  const locate = (path: YamlPath, key?: string): Position => {
    const variable = fromEnv.get([...path].slice(0, 2).join('.')) ?? fromEnv.get(String(path[0]));
    return variable === undefined ? yaml.locate(path, key) : { file: `$${variable}`, line: 0, column: 0 };
  };
  return { yaml: { file: yaml.file, value, locate } };
}

/** A problem of such a variable, with its form as the fix; any other as it is. */
export function withVariableForm(problem: Problem): Problem {
  const form = FORMS.get(problem.file);
  return form === undefined ? problem : { ...problem, fix: `write ${form}` };
}

function variableOf(path: readonly string[]): string {
  return PREFIX + path.join('_').toUpperCase();
}

function misspelt(name: string, keys: ReadonlyMap<string, Key>): readonly Problem[] {
  if (keys.has(name) || OTHERS.has(name)) return [];
  const near = nearestWord(name, [...keys.keys(), ...OTHERS], MAX_NAME_SLIP);
  if (near === null) return [];
  return [{ file: `$${name}`, line: 0, column: 0, message: 'sets nothing', fix: `did you mean ${near}?` }];
}

function keysOf(schema: unknown, path: readonly string[]): readonly Key[] {
  if (!isRecord(schema)) return [];
  const { properties } = schema;
  if (isRecord(properties)) {
    return Object.entries(properties).flatMap(([key, inner]) => keysOf(inner, [...path, key]));
  }
  return [{ path, kind: kindOf(schema) }];
}

function kindOf(schema: Readonly<Record<string, unknown>>): Key['kind'] {
  if (schema['type'] === 'array') return 'list';
  if (schema['type'] === 'object') return 'table';
  const branches = Array.isArray(schema['anyOf']) ? schema['anyOf'] : [schema];
  return branches.some((branch) => isRecord(branch) && branch['type'] === 'integer') ? 'number' : 'text';
}

function parse(text: string, kind: Key['kind']): unknown {
  const list = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  switch (kind) {
    case 'list':
      return list;
    case 'table':
      return Object.fromEntries(
        list.map((part) => {
          const [name = '', addresses = ''] = part.split('=', 2);
          return [name.trim(), addresses.split('|').map((address) => address.trim())];
        }),
      );
    case 'number':
      return /^[0-9]{1,9}$/.test(text) ? Number(text) : text;
    case 'text':
      return text === 'null' ? null : text;
    default:
      return kind satisfies never;
  }
}

/** Sets a value in place; a section that is no block of keys is left for the schema to complain about. */
function put(root: unknown, path: readonly string[], value: unknown): boolean {
  let node = root;
  for (const step of path.slice(0, -1)) {
    if (!isRecord(node)) return false;
    if (node[step] === undefined || node[step] === null) Reflect.set(node, step, {});
    node = node[step];
  }
  const last = path.at(-1);
  return isRecord(node) && last !== undefined && Reflect.set(node, last, value);
}
