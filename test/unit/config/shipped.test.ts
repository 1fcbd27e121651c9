import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadPolicies } from '../../../src/config/load.ts';
import { runTests } from '../../../src/config/run-tests.ts';
import type { PolicySet } from '../../../src/policy/model.ts';
import { buildSourceTable } from '../../../src/policy/source-table.ts';
import { setOf } from '../policy/policy-folder.ts';

const ROOT = join(import.meta.dirname, '../../..');
const FOLDER = join(ROOT, 'policies');

function shipped(): PolicySet {
  const loaded = loadPolicies(FOLDER);
  if (loaded.ok) return loaded.set;
  throw new Error(JSON.stringify(loaded.problems, null, 2));
}

describe('the shipped policies', () => {
  it('load without a warning', () => {
    expect(shipped().warnings).toEqual([]);
    expect([...shipped().groups.keys()].sort()).toEqual(['ai-agents', 'local']);
    expect(shipped().guardrails.length).toBeGreaterThan(3);
  });

  it('pass their own tests', () => {
    const set = shipped();
    const results = runTests(set, buildSourceTable(set.groups.values()));
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    for (const [name, group] of set.groups) expect(group.tests?.length, name).toBeGreaterThan(3);
  });

  it('give the OpenClaw group three of five keys, by its network', () => {
    const set = shipped();
    const group = set.groups.get('ai-agents');
    expect(group?.secrets.map(({ env }) => env)).toEqual([
      'OPENAI_API_KEY',
      'ANTHROPIC_API_KEY',
      'GITHUB_TOKEN',
    ]);
    expect(group?.secretTotal).toBe(5);
    const sources = buildSourceTable(set.groups.values());
    expect(sources.lookup('172.25.9.9')).toBe('ai-agents');
    expect(sources.lookup('127.0.0.1')).toBe('local');
    expect(sources.lookup('::1')).toBe('local');
  });

  it('name their schema in the first line', () => {
    const names = [
      ...readdirSync(FOLDER),
      ...readdirSync(join(FOLDER, 'profiles')).map((name) => `profiles/${name}`),
    ];
    const files = names.filter((name) => name.endsWith('.yaml'));
    expect(files.length).toBeGreaterThanOrEqual(4);
    for (const name of files) {
      const [first = ''] = readFileSync(join(FOLDER, name), 'utf8').split('\n');
      const path = /^# yaml-language-server: \$schema=(\S+)$/.exec(first)?.[1];
      expect(path, name).toBeDefined();
      expect(() => readFileSync(join(FOLDER, name, '..', path ?? ''), 'utf8')).not.toThrow();
    }
  });

  it('have current schemas', () => {
    const script = join(ROOT, 'src/config/write-schemas.ts');
    expect(() => execFileSync(process.execPath, [script, '--check'], { stdio: 'pipe' })).not.toThrow();
  });
});

describe('a tests section', () => {
  const run = (row: string, mode = 'enforce') => {
    const set = setOf({
      'g.yaml': `version: 1\ngroup: g\nmode: ${mode}\nidentify: { sources: [10.0.0.0/8] }\nrules: [{ allow: a.test, methods: [GET] }, { approve: b.test }]\ntests:\n  - ${row}\n`,
    });
    return runTests(set, buildSourceTable(set.groups.values()))[0];
  };

  it.each([
    '{ request: "GET https://a.test/x", expect: allow, treat: intercept, rule: allow a.test, keys: [], from: 10.1.1.1 }',
    '{ request: "https://a.test", expect: allow }',
    '{ request: "CONNECT a.test:443", expect: allow }',
    '{ request: "POST https://a.test/x", expect: deny, reason: method_not_allowed }',
    '{ request: "POST https://b.test/x", expect: approve }',
  ])('passes for %s', (row) => {
    expect(run(row)).toMatchObject({ ok: true, line: 7, why: [] });
  });

  it.each([
    [
      '{ request: "GET https://a.test/x", expect: deny }',
      'verdict: expected deny, got allow by "allow a.test" (policies/g.yaml:5)',
    ],
    [
      '{ request: "POST https://a.test/x", expect: deny, reason: path_not_allowed }',
      'reason: expected path_not_allowed, got method_not_allowed',
    ],
    [
      '{ request: "GET https://a.test/x", expect: allow, treat: tunnel }',
      'treat: expected tunnel, got intercept',
    ],
    ['{ request: "GET https://a.test/x", expect: allow, keys: [KEY] }', 'keys: expected KEY, got none'],
    [
      '{ request: "GET https://a.test/x", expect: allow, rule: allow b.test }',
      'rule: expected allow b.test, got allow a.test',
    ],
    [
      '{ request: "GET https://a.test/x", expect: allow, from: 11.1.1.1 }',
      'group of the client: expected g, got none',
    ],
    [
      '{ request: "GET ftp://a.test/x", expect: allow }',
      'the request cannot be read: "ftp://a.test/x" is no http:// or https:// URL',
    ],
  ])('fails for %s', (row, why) => {
    expect(run(row)).toMatchObject({ ok: false, why: [why] });
  });

  it('judges as in enforce mode where the group is in monitor mode', () => {
    expect(
      run('{ request: "POST https://a.test/x", expect: deny, reason: method_not_allowed }', 'monitor'),
    ).toMatchObject({
      ok: true,
    });
  });
});
