/**
 * One YAML file with positions: text in, plain value and a locator out. Strict YAML 1.2: duplicate keys,
 * unknown tags, several documents and alias bombs are errors; nothing here throws, whatever the text.
 */
import { type Document, isMap, isNode, isScalar, LineCounter, type Node, parseDocument, visit } from 'yaml';
import type { Problem } from '../policy/model.ts';

export type YamlPath = readonly (string | number)[];
/** 1-based; `file` where the value came from elsewhere than the file itself */
export type Position = { readonly line: number; readonly column: number; readonly file?: string };

/** Where the value at a path of the settings stands: the file as it was named, or the variable. */
export type Locate = (path: YamlPath) => Required<Position>;

export type YamlFile = {
  /** as shown to people */
  readonly file: string;
  readonly value: unknown;
  /** where the value at a path starts; a missing one: its parent. `key`: that key of the value instead */
  readonly locate: (path: YamlPath, key?: string) => Position;
};

const MAX_FILE_CHARACTERS = 1_048_576;
/** One slip makes the parser complain again and again behind it. */
const MAX_FAULTS = 5;
const TOO_DEEP = /call stack/;

/** Parses one file. On any doubt: the problems, with positions. */
export function readYaml(file: string, text: string): YamlFile | readonly Problem[] {
  if (text.length > MAX_FILE_CHARACTERS) {
    return [{ file, line: 0, column: 0, message: 'the file is larger than 1 MiB', fix: 'split it' }];
  }
  try {
    return parse(file, text);
  } catch (error) {
    // The parser throws on resource limits (aliases, nesting); for people it is one more unreadable file.
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'unreadable';
    return [{ file, line: 1, column: 1, message: `not readable as YAML: ${why}`, fix: 'simplify the file' }];
  }
}

function parse(file: string, text: string): YamlFile | readonly Problem[] {
  const lines = new LineCounter();
  const doc = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    strict: true,
    stringKeys: true,
  });
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const faults = [...doc.errors, ...doc.warnings];
  if (faults.length > 0) {
    const lined = text.split('\n');
    // Behind a nesting that the parser gave up at, everything is unclosed.
    const deep = faults.find(({ message }) => TOO_DEEP.test(message));
    const told = deep === undefined ? faults : [deep];
    return told.slice(0, MAX_FAULTS).map(({ pos, message, code }) => {
      const where = at(pos[0]);
      const { why, fix } = faultWords(code, message.split('\n')[0] ?? '', lined[where.line - 1] ?? '');
      return { file, ...where, message: `not valid YAML: ${why}`, fix };
    });
  }
  const loose = danglingAlias(doc);
  if (loose !== null) {
    const message = `not valid YAML: a bare * starts an alias`;
    return [{ file, ...at(start(loose)), message, fix: 'quote the star: "*"' }];
  }
  const value: unknown = doc.toJS({ maxAliasCount: 50 });
  return {
    file,
    value,
    locate: (path, key) => at(offsetOf(doc.contents, path, key)),
  };
}

/** `allow: *.example.com` is an alias without an anchor for YAML: by far the most common slip here. */
function danglingAlias(doc: Document): Node | null {
  let found: Node | null = null;
  visit(doc, {
    Alias: (_, alias) => {
      if (alias.resolve(doc) !== undefined) return undefined;
      found = alias;
      return visit.BREAK;
    },
  });
  return found;
}

/** The parser's words for programmers in words for whoever wrote the file. */
function faultWords(code: string, message: string, line: string): { why: string; fix: string } {
  if (TOO_DEEP.test(message)) return { why: 'the file is nested too deeply', fix: 'simplify the file' };
  if (code === 'MULTIPLE_DOCS') return { why: 'a second document begins here', fix: fixFor(code, line) };
  const open = /end with a ([\]}])|Missing closing (["'])/.exec(message);
  const closing = open?.[1] ?? open?.[2];
  if (closing === undefined) return { why: message, fix: fixFor(code, line) };
  return { why: `something above is not closed`, fix: `look for what lacks its ${closing}` };
}

function fixFor(code: string, line: string): string {
  if (/(?:[:[,-]\s*)\*/.test(line)) return 'quote the star: "*"';
  if (code === 'DUPLICATE_KEY') return 'keep one of the two keys';
  if (code === 'TAB_AS_INDENT') return 'indent with spaces';
  if (code === 'TAG_RESOLVE_FAILED') return 'remove the tag that starts with !';
  if (code === 'MULTIPLE_DOCS') return 'keep one document: remove the --- line';
  if (/:\s+[@`%&]/.test(line)) return 'quote the value';
  return 'check indentation, colons and quotes at this place';
}

function offsetOf(root: unknown, path: YamlPath, key?: string): number {
  let node: Node | null = isNode(root) ? root : null;
  let offset = start(node);
  for (const step of path) {
    const next = child(node, step);
    if (next === null) return offset;
    node = next;
    offset = start(node);
  }
  return key === undefined ? offset : (keyOffset(node, key) ?? offset);
}

function child(node: Node | null, step: string | number): Node | null {
  if (node === null || !('get' in node) || typeof node.get !== 'function') return null;
  const found: unknown = node.get(step, true);
  return isNode(found) ? found : null;
}

function keyOffset(node: Node | null, key: string): number | null {
  if (!isMap(node)) return null;
  const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
  return pair !== undefined && isNode(pair.key) ? start(pair.key) : null;
}

function start(node: Node | null): number {
  return node?.range?.[0] ?? 0;
}
