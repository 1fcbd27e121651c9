/** README.md against the code: what it promises is what there is. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ENV_FORMATS } from '../src/accept/environment-formats.ts';
import { ROUTES } from '../src/admin/routes.ts';
import { EMPTY_HEAD, recordLine } from '../src/audit/chain.ts';
import { RecordText } from '../src/audit/record-text.ts';
import { runProgram } from '../src/cli/program.ts';
import { type LoadedPolicies, loadPolicies } from '../src/config/load.ts';
import { runTests } from '../src/config/run-tests.ts';
import { settingsJsonSchema } from '../src/config/settings-schema.ts';
import { REASONS } from '../src/flow/reason.ts';
import { createMetrics } from '../src/metrics/metrics.ts';
import { jsonSchemaOf } from '../src/policy/schema.ts';
import { buildSourceTable } from '../src/policy/source-table.ts';
import { ROOT, sourceFiles, sourceText, tableBelow } from './helpers/import-table.ts';
import { decision, end, operator } from './unit/audit/samples.ts';

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

/** The first column of a table, without its ticks; a cell may hold several names. */
function names(heading: string): string[] {
  return tableBelow(README, heading).flatMap(([cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

describe('the table of refusals', () => {
  it('has every reason with its status, in the order of src/flow/reason.ts, and a word on what to do', () => {
    const rows = tableBelow(README, '## Refusals');
    const written = rows.map(([code = '', status]) => [code.replaceAll('`', ''), Number(status)]);
    expect(written).toEqual(Object.entries(REASONS).map(([code, { status }]) => [code, status]));
    for (const [code, , when = '', todo = ''] of rows)
      expect(`${when}${todo}`.length, code).toBeGreaterThan(20);
  });
});

describe('the table of settings', () => {
  /** Dotted keys and defaults of the JSON Schema. */
  function keysOf(schema: unknown, path: readonly string[]): [string, unknown][] {
    const properties = isRecord(schema) ? schema['properties'] : undefined;
    if (!isRecord(properties)) return [[path.join('.'), isRecord(schema) ? schema['default'] : undefined]];
    return Object.entries(properties).flatMap(([key, inner]) => keysOf(inner, [...path, key]));
  }

  it('has every key with its default', () => {
    const written = tableBelow(README, '### Settings').map(([key = '', value = '']): [string, string] => [
      key.replaceAll('`', ''),
      value.replaceAll('`', ''),
    ]);
    const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
    expect(written.length).toBeGreaterThan(15);
    expect(new Map(written)).toEqual(
      new Map(keysOf(settingsJsonSchema(), []).map(([key, value]) => [key, text(value)])),
    );
  });
});

describe('the table of policy keys', () => {
  /** Names of all properties of a JSON Schema, however deep. */
  function propertiesOf(schema: unknown): string[] {
    if (!isRecord(schema)) return [];
    const { properties, items, anyOf } = schema;
    const inner = isRecord(properties) ? Object.entries(properties) : [];
    const branches: unknown[] = Array.isArray(anyOf) ? anyOf : [];
    return [
      ...inner.flatMap(([key, value]) => [key, ...propertiesOf(value)]),
      ...[items, ...branches].flatMap(propertiesOf),
    ];
  }

  it('names every key of policies, profiles and guardrails', () => {
    const [, section = ''] = README.split('\n## One policy\n');
    const words = new Set(section.split('\n## ')[0]?.match(/[a-z][a-z0-9_]*/g));
    for (const kind of ['policy', 'profile', 'guardrails'] as const) {
      const keys = propertiesOf(jsonSchemaOf(kind));
      expect(keys.length, kind).toBeGreaterThan(4);
      for (const key of keys) expect(words, `${kind}: ${key}`).toContain(key);
    }
  });
});

describe('the table of commands', () => {
  async function help(...argv: string[]): Promise<string> {
    const stdout = new PassThrough();
    const io = { stdin: new PassThrough(), stdout, stderr: new PassThrough(), env: {}, cwd: ROOT };
    expect(await runProgram([...argv, '--help'], io)).toBe(0);
    return String(stdout.read() ?? '');
  }

  /** Names in the Commands section of a help text. */
  function commandsIn(text: string): string[] {
    const [, section = ''] = text.split('\nCommands:\n');
    const lines = section.split('\n\n')[0]?.split('\n') ?? [];
    return lines.flatMap((line) => /^ {2}([a-z]+)/.exec(line)?.[1] ?? []).filter((name) => name !== 'help');
  }

  it('has every command and sub-command, and no other', async () => {
    const all: string[] = [];
    for (const name of commandsIn(await help())) {
      const below = commandsIn(await help(name));
      all.push(...(below.length === 0 ? [name] : below.map((sub) => `${name} ${sub}`)));
    }
    const written = tableBelow(README, '### Commands').flatMap(([cell = '']) =>
      cell.replaceAll('`', '').split(', '),
    );
    expect(all.length).toBeGreaterThan(15);
    expect(written.sort()).toEqual(all.sort());
  });
});

describe('the table of metrics', () => {
  it('has every metric with its labels, and no other', async () => {
    const text = await createMetrics({ version: '0' }).render();
    const there = [...text.matchAll(/^# TYPE (sallyport_\w+) /gm)].map(([, name = '']) => name);
    expect(there.length).toBeGreaterThan(15);
    expect(
      names('### Metrics')
        .filter((name) => name.startsWith('sallyport_'))
        .sort(),
    ).toEqual(there.sort());
  });

  it('names the labels that the code registers', () => {
    const files = sourceFiles().filter((file) => file.startsWith('metrics/register'));
    const source = files.map(sourceText).join('');
    for (const [metric = '', labels = ''] of tableBelow(README, '### Metrics')) {
      const name = metric.replaceAll('`', '');
      const plain = labels.replaceAll(/\([^)]*\)/g, '');
      const written = [...plain.matchAll(/`(\w+)`/g)].map(([, label]) => label);
      const after = source.slice(source.indexOf(`'${name}'`));
      const [, list = ''] = /labels: \[([^\]]*)\]/.exec(after) ?? [];
      expect([name, ...written]).toEqual([name, ...[...list.matchAll(/'(\w+)'/g)].map(([, label]) => label)]);
    }
  });
});

describe('the other tables', () => {
  it('have every route of the admin side', () => {
    const routes = ROUTES.map(({ method, path }) => `${method} ${path}`);
    expect(names('### Admin side').sort()).toEqual(routes.sort());
  });

  it('have every question to the proxy and every format of /env', () => {
    const [, list = ''] = /const PATHS = \[([^\]]*)\]/.exec(sourceText('accept/self.ts')) ?? [];
    const paths = [...list.matchAll(/'([^']+)'/g)].map(([, path]) => `GET ${path}`);
    expect(names('### What a sandbox asks the proxy')).toEqual(expect.arrayContaining(paths));
    expect(paths.length).toBeGreaterThan(4);
    for (const format of ENV_FORMATS)
      expect(README).toContain(`\`${format === 'sh' ? '?format=sh' : format}\``);
  });

  it('have every field of a record, and no other', () => {
    const fields = [decision({ approval: { id: 'held', by: 'alice' } }), end(), operator()].flatMap(
      (event) => {
        const body = new RecordText().of(event, '2026-01-01T00:00:00.000Z');
        const record: unknown = JSON.parse(
          recordLine({ kind: event.kind, body }, EMPTY_HEAD, 'what was mended'),
        );
        return isRecord(record) ? Object.keys(record) : [];
      },
    );
    const written = tableBelow(README, '### The record').flatMap(([cell = '']) =>
      cell.replaceAll('`', '').split(', '),
    );
    expect(written.sort()).toEqual([...new Set(fields)].sort());
  });
});

describe('the table of bounds', () => {
  const UNITS: Readonly<Record<string, number>> = { s: 1000, min: 60_000, KiB: 1024, MiB: 1_048_576, '': 1 };

  /** `64 KiB` -> 65536; times in milliseconds. */
  function boundOf(cell: string): number {
    const [, digits, unit = ''] = /^([\d,]+) ?(s|min|KiB|MiB)?$/.exec(cell) ?? [];
    if (digits === undefined) throw new Error(`"${cell}" is no bound`);
    return Number(digits.replaceAll(',', '')) * (UNITS[unit] ?? Number.NaN);
  }

  /** The number that a constant or field stands for; products are the only arithmetic there is. */
  function constantOf(file: string, name: string): number {
    const pattern = `\\b${name}(?:: number)?(?: =|:) ([\\d_]+(?: \\* [\\d_]+)*)[;,\\s]`;
    const [, text] = new RegExp(pattern).exec(sourceText(file)) ?? [];
    if (text === undefined) throw new Error(`${file} has no ${name}`);
    const factors = text.split(' * ').map((part) => Number(part.replaceAll('_', '')));
    const value = factors.reduce((product, factor) => product * factor, 1);
    return name.endsWith('_S') ? value * 1000 : value;
  }

  const rows = tableBelow(README, '### Bounds').filter(([, , , , where = '']) => where !== '');

  it('is about the bounds that are felt', () => {
    expect(rows.length).toBeGreaterThan(35);
  });

  for (const [what = '', bound = '', , , where = ''] of rows) {
    it(`says what the code says: ${what}, ${bound}`, () => {
      const [, file = '', name = ''] = /^`([^`]+)` `([^`]+)`$/.exec(where) ?? [];
      expect(boundOf(bound)).toBe(constantOf(file, name));
    });
  }
});

describe('the examples', () => {
  /** YAML blocks that open with the name of their file. */
  function blocks(): [string, string][] {
    const found = [...README.matchAll(/```yaml\n(# (policies\/\S+)\n[\s\S]*?)```/g)];
    return found.map(([, text = '', file = '']) => [file, text]);
  }

  function loadedBlocks(): LoadedPolicies {
    const dir = mkdtempSync(join(tmpdir(), 'sallyport-docs-'));
    try {
      for (const [file, text] of blocks()) {
        mkdirSync(join(dir, dirname(file)), { recursive: true });
        writeFileSync(join(dir, file), text);
      }
      return loadPolicies(join(dir, 'policies'));
    } finally {
      rmSync(dir, { recursive: true });
    }
  }

  it('load as one policy set without a warning, and pass their own tests', () => {
    expect(blocks().map(([file]) => file)).toEqual([
      'policies/ai-agents.yaml',
      'policies/profiles/openclaw.yaml',
      'policies/guardrails.yaml',
    ]);
    const loaded = loadedBlocks();
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems, null, 2));
    expect(loaded.set.warnings).toEqual([]);
    const results = runTests(loaded.set, buildSourceTable(loaded.set.groups.values()));
    expect(results.length).toBeGreaterThan(3);
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
  });

  it('name files that are there', () => {
    const files = [...README.matchAll(/`((?:src|test|bench|deploy|certs)\/README\.md|[A-Z]+\.md)`/g)];
    expect(files.length).toBeGreaterThan(5);
    for (const [, file = ''] of files) expect(() => readFileSync(join(ROOT, file)), file).not.toThrow();
  });

  it('lead to headings and files that are there', () => {
    const headings = [...README.matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
      text
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    const links = [...README.matchAll(/\]\(([^)]+)\)/g)].map(([, link = '']) => link);
    expect(links.length).toBeGreaterThan(20);
    for (const link of links) {
      if (link.startsWith('#')) expect(headings, link).toContain(link.slice(1));
      else expect(() => readFileSync(join(ROOT, link)), link).not.toThrow();
    }
  });
});
