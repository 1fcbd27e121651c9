/**
 * The import table of src/README.md, the imports that stand in src/, and the linter rules that follow from the table.
 * Used by `test/architecture.test.ts`; run as a program it writes the rules into biome.json:
 * `node test/helpers/import-table.ts`.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export const ROOT = path.join(import.meta.dirname, '../..');
const SRC = path.join(ROOT, 'src');
const MESSAGE = 'The import table of src/README.md does not allow this import.';
const TYPES = ' (types)';

export type Row = {
  /** folder or file below src, as the table writes it without braces */
  readonly name: string;
  readonly tier: number;
  /** folders, and files of src itself, that may be imported */
  readonly inside: readonly string[];
  /** those of `inside` of which types alone may be imported */
  readonly typesOnly: readonly string[];
  /** packages and node: modules */
  readonly outside: readonly string[];
};

export type Import = {
  /** file below src */
  readonly file: string;
  readonly source: string;
  /** folder or top-level file below src; null for a package or node: module */
  readonly to: string | null;
  readonly typesOnly: boolean;
};

/** Rows of the first table below a heading, cell by cell, without the header. */
export function tableBelow(text: string, heading: string): string[][] {
  const [, section] = text.split(`\n${heading}\n`);
  if (section === undefined) throw new Error(`no heading "${heading}"`);
  const lines = section.split('\n');
  const start = lines.findIndex((line) => line.startsWith('|'));
  const end = lines.findIndex((line, at) => at > start && !line.startsWith('|'));
  if (start === -1) throw new Error(`no table below "${heading}"`);
  return lines.slice(start + 2, end === -1 ? undefined : end).map(cellsOf);
}

function cellsOf(line: string): string[] {
  const cells = line.replaceAll('\\|', '\u0000').split('|').slice(1, -1);
  return cells.map((cell) => cell.replaceAll('\u0000', '|').trim());
}

export function readTable(): Row[] {
  const readme = readFileSync(path.join(SRC, 'README.md'), 'utf8');
  return tableBelow(readme, '## Import table').flatMap(([names = '', tier, inside = '', outside = '']) => {
    const folders = listOf(inside);
    return bracesOf(names.replaceAll('`', '')).map((name) => ({
      name,
      tier: Number(tier),
      inside: folders.map((folder) => folder.replace(TYPES, '')),
      typesOnly: folders
        .filter((folder) => folder.endsWith(TYPES))
        .map((folder) => folder.replace(TYPES, '')),
      outside: listOf(outside),
    }));
  });
}

function listOf(cell: string): string[] {
  const parts = cell.replaceAll('`', '').split(',');
  return parts.map((part) => part.trim()).filter((part) => part !== '' && part !== 'nothing');
}

/** `audit/{chain,event}.ts` -> two names. */
function bracesOf(name: string): string[] {
  const [, before = '', list, after = ''] = /^(.*)\{(.*)\}(.*)$/.exec(name) ?? [];
  return list === undefined ? [name] : list.split(',').map((one) => before + one.trim() + after);
}

/** The row that counts for a file: its own, else that of its folder or of the folder above. */
export function rowOf(rows: readonly Row[], file: string): Row | undefined {
  for (let name = file; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('/')))) {
    const row = rows.find((one) => one.name === name);
    if (row !== undefined) return row;
  }
  return undefined;
}

/** TypeScript files below src and the modules of the console, with slashes. */
export function sourceFiles(): string[] {
  const all = readdirSync(SRC, { recursive: true, encoding: 'utf8' });
  return all
    .map((file) => file.split(path.sep).join('/'))
    .filter((file) => file.endsWith('.ts') || /^admin\/console\/.*\.js$/.test(file))
    .sort();
}

export function sourceText(file: string): string {
  return readFileSync(path.join(SRC, file), 'utf8');
}

const STATEMENT = /^(?:import|export)\b([^;'"]*?)\bfrom '([^']+)';/gm;
const SIDE_EFFECT = /^import '([^']+)';/gm;
const DYNAMIC = /\bimport\(\s*(?:'([^']*)')?/g;

/** Every import and re-export of a file; a dynamic import of something else than a literal comes out as `?`. */
export function importsOf(file: string): Import[] {
  const text = sourceText(file).replaceAll(/^\s*(?:\/\/|\/?\*).*$/gm, '');
  const found = [...text.matchAll(STATEMENT)].map(([, clause = '', source = '']) => {
    return describe(file, source, isTypesOnly(clause));
  });
  const bare = [...text.matchAll(SIDE_EFFECT)].map(([, source = '']) => describe(file, source, false));
  const later = [...text.matchAll(DYNAMIC)].map(([, source]) => describe(file, source ?? '?', false));
  return [...found, ...bare, ...later];
}

function isTypesOnly(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true;
  const [, names] = /^\s*\{(.*)\}\s*$/s.exec(clause) ?? [];
  if (names === undefined) return false;
  const parts = names.split(',').map((part) => part.trim());
  return parts.every((part) => part === '' || part.startsWith('type '));
}

function describe(file: string, source: string, typesOnly: boolean): Import {
  if (!source.startsWith('.')) return { file, source, to: null, typesOnly };
  const at = path.posix.normalize(path.posix.join(path.posix.dirname(file), source));
  return { file, source, to: at.startsWith('..') ? at : (at.split('/')[0] ?? at), typesOnly };
}

/** Biome's overrides for the table: everything is forbidden but what a row lists. File rows come last, and win. */
export function layerOverrides(rows: readonly Row[]): object[] {
  const files = rows.filter(({ name }) => name.includes('/'));
  const folders = rows.filter(({ name }) => !name.includes('/'));
  return [...folders, ...files].map((row) => ({
    includes: [`src/${row.name}${row.name.endsWith('.ts') ? '' : '/**'}`],
    linter: {
      rules: {
        style: {
          noRestrictedImports: {
            level: 'error',
            options: { patterns: [{ group: patternsOf(row), message: MESSAGE }] },
          },
        },
      },
    },
  }));
}

function patternsOf(row: Row): string[] {
  const folder = row.name.endsWith('.ts') ? path.posix.dirname(row.name) : row.name;
  const depth = folder === '.' ? 0 : folder.split('/').length;
  const up = depth === 0 ? './' : '../'.repeat(depth);
  const inside = row.inside.map((to) => `${up}${to}${to.endsWith('.ts') ? '' : '/**'}`);
  // A folder within a folder: the files beside it are its own.
  const own = ['./**', '../*'].slice(0, depth);
  return ['**', ...[...own, ...inside, ...row.outside].map((allowed) => `!${allowed}`)];
}

type BiomeConfig = { readonly overrides: readonly object[] };

export function readBiomeConfig(): BiomeConfig {
  const parsed: unknown = JSON.parse(readFileSync(path.join(ROOT, 'biome.json'), 'utf8'));
  if (!isConfig(parsed)) throw new Error('biome.json has no overrides');
  return parsed;
}

function isConfig(value: unknown): value is BiomeConfig {
  return (
    typeof value === 'object' && value !== null && 'overrides' in value && Array.isArray(value.overrides)
  );
}

/** Is this one of the overrides that `layerOverrides` makes. */
export function isLayer(override: object): boolean {
  return JSON.stringify(override).includes(MESSAGE);
}

if (import.meta.main) {
  const config = readBiomeConfig();
  const overrides = [...config.overrides.filter((one) => !isLayer(one)), ...layerOverrides(readTable())];
  writeFileSync(path.join(ROOT, 'biome.json'), `${JSON.stringify({ ...config, overrides }, null, 2)}\n`);
}
