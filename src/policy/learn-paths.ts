/**
 * Path patterns out of paths that were seen: as few and as narrow as reproduce them. A place where many different
 * segments stood becomes `*`; what is said by few stays as it is. Pure; used by `learn.ts`.
 */
import { canonicalPath, matchesPath, parsePathPattern } from './path-pattern.ts';

/** Patterns of one rule; more than a person reads are made fewer and wider. */
const MAX_PATTERNS = 20;
/** When patterns are too many: how many different segments at one place become `*`. */
const WIDER = [3, 2] as const;

type Node = { readonly children: Map<string, Node>; end: boolean };

/** The path of a target, without its query; null where a path rule would refuse it as ambiguous or cannot name it. */
export function plainPath(target: string): string | null {
  const path = target.replace(/[?#].*$/s, '');
  if ('kind' in canonicalPath(path)) return null;
  return covers([patternOf(path)], path) ? path : null;
}

/**
 * Patterns that cover every one of `paths`, each of which `plainPath` gave. `distinct`: how many different segments
 * at one place become `*`.
 */
export function pathPatterns(paths: readonly string[], distinct: number): readonly string[] {
  const steps = [distinct, ...WIDER.filter((step) => step < distinct)];
  for (const step of steps) {
    const patterns = at(paths, step);
    if (patterns.length <= MAX_PATTERNS) return patterns;
  }
  const tops = [...new Set(paths.map((path) => `/${path.split('/')[1] ?? ''}/**`))].sort();
  return tops.length <= MAX_PATTERNS && covers(tops, ...paths) ? tops : ['/**'];
}

function at(paths: readonly string[], distinct: number): readonly string[] {
  const root = emptyNode();
  for (const path of paths) add(root, patternOf(path).slice(1).split('/'));
  widen(root, distinct);
  const found: string[] = [];
  write(root, '', found);
  return found.sort();
}

/** A segment that holds a star cannot be written as itself. */
function patternOf(path: string): string {
  return path.replaceAll(/[^/]*\*[^/]*/g, '*');
}

function covers(patterns: readonly string[], ...paths: readonly string[]): boolean {
  const parsed = patterns.map(parsePathPattern);
  return paths.every((path) => {
    const canonical = canonicalPath(path);
    return !('kind' in canonical) && parsed.some((one) => 'segments' in one && matchesPath(one, canonical));
  });
}

function emptyNode(): Node {
  return { children: new Map(), end: false };
}

function add(root: Node, segments: readonly string[]): void {
  let node = root;
  for (const segment of segments) {
    const next = node.children.get(segment) ?? emptyNode();
    node.children.set(segment, next);
    node = next;
  }
  node.end = true;
}

/** Children that are many become one; the empty segment of a trailing slash stays, since `*` does not cover it. */
function widen(node: Node, distinct: number): void {
  const named = [...node.children].filter(([segment]) => segment !== '');
  if (named.length >= distinct || (named.length > 1 && node.children.has('*'))) {
    const one = emptyNode();
    for (const [segment, child] of named) {
      merge(one, child);
      node.children.delete(segment);
    }
    node.children.set('*', one);
  }
  for (const child of node.children.values()) widen(child, distinct);
}

function merge(into: Node, from: Node): void {
  if (from.end) into.end = true;
  for (const [segment, child] of from.children) {
    const next = into.children.get(segment) ?? emptyNode();
    into.children.set(segment, next);
    merge(next, child);
  }
}

function write(node: Node, path: string, into: string[]): void {
  if (node.end) into.push(path);
  for (const [segment, child] of node.children) write(child, `${path}/${segment}`, into);
}
