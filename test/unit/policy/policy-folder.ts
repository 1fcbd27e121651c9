/** Policy folders for tests: written to a temporary place, loaded as the proxy loads them, removed again. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { type LoadedPolicies, loadPolicies } from '../../../src/config/load.ts';
import type { Authority } from '../../../src/flow/target.ts';
import type { Facts } from '../../../src/flow/verdict.ts';
import type { PolicySet, Problem } from '../../../src/policy/model.ts';
import { isAuthority, parseAuthority } from '../../../src/wire/authority.ts';

/** Loads `{ 'a.yaml': text, 'profiles/p.yaml': text }`. */
export function load(files: Readonly<Record<string, string>>): LoadedPolicies {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-policies-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(dir, 'policies', name)), { recursive: true });
      writeFileSync(join(dir, 'policies', name), text);
    }
    return loadPolicies(join(dir, 'policies'));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

export function setOf(files: Readonly<Record<string, string>>): PolicySet {
  const loaded = load(files);
  if (loaded.ok) return loaded.set;
  throw new Error(JSON.stringify(loaded.problems, null, 2));
}

/** One group `g` with these lines under it. */
export function group(...lines: readonly string[]): PolicySet {
  return setOf({ 'g.yaml': ['version: 1', 'group: g', ...lines].join('\n') });
}

/** One group `g` with these rules, each in flow style: `{ allow: a.test }`. */
export function rules(...list: readonly string[]): PolicySet {
  return group('rules:', ...list.map((rule) => `  - ${rule}`));
}

export function problemsOf(files: Readonly<Record<string, string>>): readonly Problem[] {
  const loaded = load(files);
  return loaded.ok ? [] : loaded.problems;
}

export function at(text: string): Authority {
  const parsed = parseAuthority(text, 443);
  if (!isAuthority(parsed)) throw new Error(`${text}: ${parsed.detail ?? ''}`);
  return parsed;
}

export function facts(method: string, path: string): Facts {
  return { method, path, protocol: 'http/1.1' };
}

/** `expect.stringContaining` without its `any`. */
export function containing(text: string): unknown {
  return expect.stringContaining(text);
}
