/** A fix is worth its name if the file loads once it is followed: each error here is mended by what it says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadPolicies } from '../../../src/config/load.ts';
import { problemsOf } from './policy-folder.ts';

const base = (...lines: readonly string[]) => ({ 'g.yaml': ['version: 1', 'group: g', ...lines].join('\n') });
const PROFILE = 'version: 1\nprofile: p\nsecrets:\n  - { env: K, from: "env:K", hosts: [a.test] }\n';

describe('the fix of an error', () => {
  it.each([
    ['rules: [{ allow: "a.test, b.test" }]', 'write a list: ["a.test", "b.test"]'],
    ['rules: [{ allow: "/.*test/" }]', 'write only a host, for example "api.example.com"'],
    ['rules: [{ allow: 010.0.0.1 }]', 'write four decimal numbers, without leading zeros'],
    ['rules: [{ allow: a.test, methods: ["get "] }]', 'write GET'],
    ['rules: [{ allow: a.test, paths: ["https://a.test/v1"] }]', 'write "/v1"'],
    ['rules: [{ allow: a.test, tls: intercept }]', 'write tunnel, or remove the key'],
    ['rules: [{ allow: a.test, idle: 10 minutes }]', 'write 10m'],
    ['rules: [{ allow: a.test, idle: 0s }]', 'write it like 10m'],
    ['rules: [{ approve: a.test, wait: 0s }]', 'write it like 5m'],
    ['rules: [{ allow: a.test, addresses: ["::ffff:10.0.0.0/104"] }]', 'write 10.0.0.0/8'],
    ['identify: { sources: ["::ffff:10.0.0.1"] }', 'write 10.0.0.1/32'],
    ['rules: [a.test]', 'write "allow: a.test"'],
    ['rules: { allow: a.test }', 'write a list of blocks, each behind "- "'],
    ['limits: { connections: 0 }', 'write 1 or more'],
    ['limits: { connections: 1000001 }', 'write 1000000 or less'],
    ['exclude: [K]', 'name a profile, or remove `exclude`'],
    ['rules: [{ allow: [] }]', 'write at least one entry'],
    [`description: ${'x'.repeat(301)}`, 'shorten it'],
    ['---\nversion: 1', 'keep one document: remove the --- line'],
    ['rules: [{ allow: a.test }', 'look for what lacks its ]'],
  ])('%.60s: %s', (line, fix) => {
    const found = problemsOf(base(line));
    expect(found).toMatchObject([{ fix }]);
    expect(found[0]?.message).not.toMatch(/Too (?:small|big)|expected|call stack|YAML\./);
  });

  it('of a file that is nested too deeply is said once', () => {
    const fix = 'simplify the file';
    expect(problemsOf(base(`description: ${'['.repeat(5000)}`))).toMatchObject([{ fix }]);
  });

  it('of a name that is none is one that is', () => {
    expect(problemsOf({ 'g.yaml': 'version: 1\ngroup: AI Agents' })).toMatchObject([
      { fix: 'write ai-agents' },
    ]);
    expect(problemsOf({ 'g.yaml': 'group: g' })).toMatchObject([{ fix: 'add `version: 1`' }]);
  });

  it('names the other file of a group that there is twice', () => {
    const found = problemsOf({ ...base(), 'h.yaml': 'version: 1\ngroup: g' });
    expect(found).toHaveLength(1);
    expect(found[0]?.message).toMatch(/^group g is defined in .*g\.yaml, too$/);
  });

  it('is said once where `tls: tunnel` and the methods of one rule exclude each other', () => {
    const found = problemsOf(base('rules: [{ allow: a.test, tls: tunnel, methods: [GET] }]'));
    expect(found).toMatchObject([{ fix: 'keep one of the two' }]);
  });

  it('is where the file belongs, for one of another kind', () => {
    expect(problemsOf({ 'p.yaml': PROFILE })).toMatchObject([{ message: 'this is a key profile' }]);
    expect(problemsOf({ ...base(), 'profiles/g.yaml': 'version: 1\ngroup: h' })).toMatchObject([
      { message: "this is a group's policy" },
    ]);
    expect(problemsOf({ 'rails.yaml': 'version: 1\nenforce_only: true' })).toMatchObject([
      { fix: 'name the file guardrails.yaml' },
    ]);
  });

  it('does not repeat a key that somebody wrote where its source belongs', () => {
    for (const from of ['sk-0123456789abcdef0123', 'env:sk-0123456789abcdef0123']) {
      const found = problemsOf({
        ...base('profile: p', 'rules: [{ allow: a.test }]'),
        'profiles/p.yaml': PROFILE.replace('env:K', from),
      });
      expect(found).toHaveLength(1);
      expect(JSON.stringify(found)).not.toContain('0123456789');
    }
  });
});

describe('guardrails that are not read', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-rails-'));
    writeFileSync(join(dir, 'g.yaml'), 'version: 1\ngroup: g\n');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('because of the letters of their ending keep the policies from loading', () => {
    writeFileSync(join(dir, 'guardrails.YAML'), 'version: 1\n');
    expect(loadPolicies(dir)).toMatchObject({
      ok: false,
      problems: [{ fix: 'rename it to guardrails.yaml' }],
    });
  });
});
