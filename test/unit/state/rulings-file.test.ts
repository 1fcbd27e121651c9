/** Decisions that hold for a while, as a file: over restarts, between processes, and when somebody broke it. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Found, Ruling } from '../../../src/state/rulings.ts';
import { RulingsFile } from '../../../src/state/rulings-file.ts';

const NOW = 1_000_000;
const KEY = 'a'.repeat(64);

const ruling = (over: Partial<Ruling> = {}): Ruling => ({
  decision: 'allow',
  key: KEY,
  id: 'one',
  group: 'g',
  rule: 'approve pay.test',
  what: 'POST pay.test:443/',
  by: 'ann',
  reason: null,
  verified: false,
  at: NOW,
  until: NOW + 60_000,
  coolUntil: NOW,
  ...over,
});

describe('approvals.json', () => {
  let dir = '';
  let file = '';
  let now = NOW;
  let problems: string[] = [];
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'sallyport-rulings-'));
    file = path.join(dir, 'approvals.json');
    now = NOW;
    problems = [];
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const open = () =>
    new RulingsFile({
      dir,
      clock: { now: () => now, mono: () => now },
      onProblem: (text) => problems.push(text),
    });
  const find = (store: RulingsFile, key = KEY): Found => {
    const told: Found[] = [];
    store.find({ key, group: 'g', rule: 'approve pay.test' }, (found) => told.push(found));
    return told[0] ?? { ruling: null, coolUntil: -1 };
  };
  const put = (store: RulingsFile, one: Ruling): Error | null => {
    const told: (Error | null)[] = [];
    store.put(one, (failed) => told.push(failed));
    return told[0] ?? null;
  };

  it('is found again by the next process, and by another one that is running', () => {
    const other = open();
    expect(find(other).ruling).toBeNull();
    expect(put(open(), ruling())).toBeNull();
    expect(find(other).ruling).toEqual(ruling());
    expect(find(open()).ruling).toEqual(ruling());
    expect(find(other, 'b'.repeat(64)).ruling).toBeNull();
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('ends by the wall clock, and what is over is thrown away by the next write', () => {
    const store = open();
    put(store, ruling());
    now += 60_000;
    expect(find(store).ruling).toBeNull();
    put(store, ruling({ key: 'b'.repeat(64), until: now + 1 }));
    expect(readFileSync(file, 'utf8')).not.toContain(KEY);
  });

  it('keeps the newest word on a key, and the longest cooldown of a rule', () => {
    const store = open();
    put(store, ruling({ coolUntil: NOW + 5_000 }));
    put(store, ruling({ key: 'b'.repeat(64), coolUntil: NOW + 1_000 }));
    put(store, ruling({ decision: 'deny', id: 'two', coolUntil: NOW }));
    expect(find(store)).toMatchObject({ ruling: { id: 'two' }, coolUntil: NOW + 1_000 });
  });

  it('is taken back by its id', () => {
    const store = open();
    put(store, ruling());
    const done: boolean[] = [];
    store.forget('other', (yes) => done.push(yes));
    store.forget('one', (yes) => done.push(yes));
    expect([done, find(open()).ruling]).toEqual([[false, true], null]);
  });

  it.each([
    ['no JSON', '{'],
    ['an unknown key', '{"version":1,"rulings":[],"more":1}'],
    ['a ruling of another shape', '{"version":1,"rulings":[{"decision":"allow"}]}'],
    ['another version', '{"version":2,"rulings":[]}'],
  ])('counts for nothing and is not written over where it holds %s', (_title, text) => {
    const store = open();
    put(store, ruling());
    writeFileSync(file, text);
    expect(find(store).ruling).toBeNull();
    expect(put(store, ruling())).toBeInstanceOf(Error);
    expect(problems).toHaveLength(1);
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('takes no more than its cap', () => {
    const rulings = Array.from({ length: 2_000 }, (_, n) =>
      ruling({ key: n.toString(16).padStart(64, '0') }),
    );
    writeFileSync(file, JSON.stringify({ version: 1, rulings }));
    const store = open();
    expect(put(store, ruling())).toBeInstanceOf(Error);
    expect(put(store, ruling({ key: '0'.repeat(64), id: 'again' }))).toBeNull();
  });

  it('of a folder that is gone fails, and finds nothing', () => {
    const store = new RulingsFile({
      dir: path.join(dir, 'gone'),
      clock: { now: () => now, mono: () => now },
      onProblem: () => {},
    });
    expect(put(store, ruling())).toBeInstanceOf(Error);
    expect(find(store).ruling).toBeNull();
  });
});
