/**
 * What stands at a place of a YAML file, and which keys its JSON Schema knows there: plain data both, so that nothing here
 * knows zod. Used by `issues.ts`, for "did you mean".
 */
import type { YamlPath } from './yaml-file.ts';

export const RULE_KINDS = ['allow', 'deny', 'approve'];

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Undefined: there is nothing at that path. */
export function valueAt(root: unknown, path: YamlPath): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = Reflect.get(value, step);
  }
  return value;
}

/** The keys that the JSON Schema knows for the object at `path`; for a rule, those of its kind. */
export function knownKeys(schema: object, path: YamlPath, root: unknown): readonly string[] {
  let nodes: readonly unknown[] = [schema];
  for (const step of path)
    nodes = nodes.flatMap((node) => branchesOf(node).map((one) => stepInto(one, step)));
  const value = valueAt(root, path);
  const tables = nodes
    .flatMap(branchesOf)
    .map((node) => (isRecord(node) && isRecord(node['properties']) ? Object.keys(node['properties']) : []));
  const kind = isRecord(value) ? RULE_KINDS.find((key) => Object.hasOwn(value, key)) : undefined;
  const own = tables.filter((keys) => kind === undefined || tables.length === 1 || keys.includes(kind));
  return [...new Set(own.flat())];
}

function branchesOf(node: unknown): readonly unknown[] {
  return isRecord(node) && Array.isArray(node['anyOf']) ? node['anyOf'].flatMap(branchesOf) : [node];
}

function stepInto(node: unknown, step: string | number): unknown {
  if (!isRecord(node)) return undefined;
  if (typeof step === 'number') return node['items'];
  return isRecord(node['properties']) ? node['properties'][step] : undefined;
}
