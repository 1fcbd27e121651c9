/** The house rules of src/: who may import whom, what is pure, how long a file may be. The table is in src/README.md. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type Import,
  importsOf,
  isLayer,
  layerOverrides,
  ROOT,
  type Row,
  readBiomeConfig,
  readTable,
  rowOf,
  sourceFiles,
  sourceText,
  tableBelow,
} from './helpers/import-table.ts';

const ROWS = readTable();
const FILES = sourceFiles();
const IMPORTS = FILES.flatMap(importsOf);
const MAX_LINES = 300;
/** Longer than they should be, and not to grow: lines that they may have. Take a row out when its file is split. */
const LONGER: ReadonlyMap<string, number> = new Map([]);

/** What is wrong with an import, by the row of its file. */
function complaint(one: Import): string | null {
  const row = rowOf(ROWS, one.file);
  const where = `${one.file} imports ${one.source}`;
  if (row === undefined) return `${one.file} has no row in the import table`;
  if (one.to === null) return row.outside.includes(one.source) ? null : where;
  if (one.file.startsWith(`${one.to}/`)) return null;
  if (!row.inside.includes(one.to)) return where;
  return row.typesOnly.includes(one.to) && !one.typesOnly
    ? `${where}, of which types alone are allowed`
    : null;
}

function tierOf(name: string): number {
  return ROWS.find((row) => row.name === name)?.tier ?? Number.NaN;
}

/** Folders and top-level files that a row imports code of, types aside. */
function codeOf(rows: readonly Row[]): ReadonlyMap<string, ReadonlySet<string>> {
  const graph = new Map<string, Set<string>>();
  for (const row of rows) {
    const [from = ''] = row.name.split('/');
    const to = row.inside.filter((one) => !row.typesOnly.includes(one));
    graph.set(from, new Set([...(graph.get(from) ?? []), ...to]));
  }
  return graph;
}

function cycleFrom(graph: ReadonlyMap<string, ReadonlySet<string>>, trail: readonly string[]): string | null {
  const [last = ''] = trail.slice(-1);
  for (const next of graph.get(last) ?? []) {
    if (trail.includes(next)) return [...trail, next].join(' -> ');
    const found = cycleFrom(graph, [...trail, next]);
    if (found !== null) return found;
  }
  return null;
}

describe('the import table of src/README.md', () => {
  it('finds the imports that it is about', () => {
    expect(IMPORTS.length).toBeGreaterThan(500);
    expect(IMPORTS).toContainEqual({
      file: 'accept/http.ts',
      source: '../wire/authority.ts',
      to: 'wire',
      typesOnly: false,
    });
    expect(IMPORTS.some(({ to, typesOnly }) => to === 'flow' && typesOnly)).toBe(true);
    expect(IMPORTS.find(({ source }) => source === './ca.ts')?.file).toBe('cli/program.ts');
  });

  it('has a row for every folder and top-level file, and for nothing that is not there', () => {
    const there = new Set(FILES.map((file) => file.split('/')[0]));
    const named = new Set(ROWS.map(({ name }) => name.split('/')[0]));
    expect(named).toEqual(there);
    for (const { name } of ROWS.filter((row) => row.name.includes('/')))
      expect(FILES.some((file) => file === name || file.startsWith(`${name}/`))).toBe(true);
  });

  it('allows every import that stands in src', () => {
    expect(IMPORTS.map(complaint).filter((text) => text !== null)).toEqual([]);
  });

  it('allows nothing that is not used', () => {
    const used = (row: Row, to: string): boolean =>
      IMPORTS.some((one) => rowOf(ROWS, one.file) === row && (one.to ?? one.source) === to);
    const idle = ROWS.flatMap((row) =>
      [...row.inside, ...row.outside].filter((to) => !used(row, to)).map((to) => `${row.name}: ${to}`),
    );
    // Rows for several files share their cells.
    expect(idle.filter((text) => !text.startsWith('audit/'))).toEqual([]);
  });

  it('lets nobody import a higher tier, and no stage another stage', () => {
    const wrong = ROWS.flatMap(({ name, tier, inside }) =>
      inside
        .filter((to) => !(tierOf(to) <= tier) || (tier === 3 && tierOf(to) === 3))
        .map((to) => `${name} -> ${to}`),
    );
    expect(wrong).toEqual([]);
    expect(ROWS.filter(({ tier }) => tier === 3).map(({ name }) => name)).toContain('dial');
  });

  it('keeps the pure tiers without the system: of node: modules, node:buffer alone', () => {
    const pure = ROWS.filter(({ tier }) => tier <= 1);
    const system = pure.flatMap((row) => row.outside.filter((one) => one.startsWith('node:')));
    expect([...new Set(system)]).toEqual(['node:buffer']);
    expect(pure.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['flow', 'wire', 'policy', 'secrets', 'audit/chain.ts']),
    );
  });

  it('has no cycle of folders, types aside', () => {
    const graph = codeOf(ROWS);
    expect(
      [...graph.keys()].map((name) => cycleFrom(graph, [name])).filter((found) => found !== null),
    ).toEqual([]);
  });

  it('is what the linter enforces: `node test/helpers/import-table.ts` writes biome.json from it', () => {
    expect(readBiomeConfig().overrides.filter(isLayer)).toEqual(layerOverrides(ROWS));
  });
});

describe('the dependencies', () => {
  it('are the ones that src/README.md gives reasons for, and that the import table hands out', () => {
    const manifest = readFileSync(join(ROOT, 'package.json'), 'utf8');
    const [, block = ''] = /"dependencies": \{([^}]*)\}/.exec(manifest) ?? [];
    const installed = new Set([...block.matchAll(/"([^"]+)":/g)].map(([, name]) => name));
    const readme = readFileSync(join(ROOT, 'src/README.md'), 'utf8');
    const explained = tableBelow(readme, '## Dependencies').map(([name = '']) => name.replaceAll('`', ''));
    const handedOut = ROWS.flatMap(({ outside }) => outside.filter((one) => !one.startsWith('node:')));
    const packageOf = (source: string): string => /^(?:@[^/]+\/)?[^/]+/.exec(source)?.[0] ?? source;
    expect(new Set(explained)).toEqual(installed);
    expect(new Set(handedOut.map(packageOf))).toEqual(installed);
  });
});

describe('the linter', () => {
  const refused: readonly [string, string][] = [
    ['src/wire/probe.ts', "import { readFileSync } from 'node:fs';"],
    ['src/wire/probe-types.ts', "import type { Clock } from '../base/clock.ts';"],
    ['src/policy/probe.ts', "import { z } from 'zod';"],
    ['src/audit/chain.ts', "import { createHash } from 'node:crypto';"],
    ['src/gate/probe.ts', "import { createDialer } from '../dial/connect.ts';"],
    ['src/tunnel/probe.ts', "export { HttpSession } from '../intercept/session.ts';"],
    ['src/lifecycle.ts', "const late = await import('./admin/server.ts');"],
  ];
  const passed: readonly [string, string][] = [
    ['src/policy/schema.ts', "import { z } from 'zod';"],
    ['src/audit/writer.ts', "import { createHash } from 'node:crypto';"],
    ['src/wire/fine.ts', "import { denied } from '../flow/reason.ts';"],
    ['src/wire/fine-too.ts', "import { sniff } from './sniff.ts';"],
  ];

  it('objects to imports that the table does not allow, and to no other', () => {
    expect(objections([...refused, ...passed]).sort()).toEqual(refused.map(([file]) => file).sort());
  });
});

/** Files to which the layer rules of biome.json object, tried on a copy of the tree's shape. */
function objections(lines: readonly [string, string][]): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-layers-'));
  try {
    const config = { ...readBiomeConfig(), vcs: { enabled: false }, root: true };
    writeFileSync(join(dir, 'biome.json'), JSON.stringify(config));
    for (const [file, line] of lines) {
      mkdirSync(join(dir, dirname(file)), { recursive: true });
      writeFileSync(join(dir, file), `${line}\n`);
    }
    const biome = join(ROOT, 'node_modules/.bin/biome');
    const args = ['lint', '--only=style/noRestrictedImports', '--reporter=json', 'src'];
    const { stdout } = spawnSync(biome, args, { cwd: dir, encoding: 'utf8' });
    return [...stdout.matchAll(/"path":"([^"]+)"/g)].map(([, path = '']) => path);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

describe('the files of src', () => {
  it('export by name', () => {
    expect(FILES.filter((file) => /^export default\b/m.test(sourceText(file)))).toEqual([]);
  });

  it('hand on no code of other files: there are no barrels', () => {
    const barrels = FILES.filter((file) =>
      /^export (?:\*|(?:type )?\* as|\{[^}]*\}) .*from /m.test(sourceText(file)),
    );
    expect(barrels).toEqual([]);
  });

  it('import statically, but for the commands and packages that few need, and nothing but literals', () => {
    const dynamic = FILES.filter((file) => /\bimport\(/.test(sourceText(file)));
    const known = [
      'cli/program.ts',
      'cli/start-replicas.ts',
      'notify/post.ts',
      'telemetry/open.ts',
      'vault/https.ts',
      'vault/mint-jwt.ts',
    ];
    expect(dynamic).toEqual(known);
    expect(IMPORTS.filter(({ source }) => source === '?')).toEqual([]);
  });

  it(`have at most ${MAX_LINES} lines`, () => {
    const lines = (file: string): number => sourceText(file).split('\n').length - 1;
    const long = FILES.filter((file) => lines(file) > (LONGER.get(file) ?? MAX_LINES));
    expect(long.map((file) => `${file}: ${lines(file)}`)).toEqual([]);
    for (const file of LONGER.keys()) expect(lines(file), file).toBeGreaterThan(MAX_LINES);
  });

  it('open with a comment that says what they are', () => {
    expect(FILES.filter((file) => !sourceText(file).startsWith('/**'))).toEqual([]);
  });

  it('make a Permit in one place', () => {
    expect(FILES.filter((file) => / as Permit\b/.test(sourceText(file)))).toEqual(['gate/gate.ts']);
  });
});

describe('each invariant', () => {
  for (let number = 1; number <= 10; number += 1) {
    it(`I${number} has a test file`, () => {
      const files = readdirSync(join(ROOT, 'test/invariants'));
      expect(files.filter((name) => name.startsWith(`i${number}-`) && name.endsWith('.test.ts'))).not.toEqual(
        [],
      );
    });
  }
});
