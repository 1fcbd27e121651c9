/** Lockdown in the state folder: what programs write, what people touch, and what nobody can read. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { changeLockdown, type FoundChange, type LockdownStore } from '../../../src/state/lockdown.ts';
import { openLockdown } from '../../../src/state/lockdown-file.ts';
import { eventually } from '../../helpers/world.ts';

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-lockdown-'));
  onTestFinished(() => {
    chmodSync(dir, 0o700);
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

function open(dir: string, watch = false): LockdownStore {
  const store = openLockdown({ dir, clock: systemClock, watch });
  onTestFinished(() => store.close());
  return store;
}

const by = 'ann';
const reason = 'incident 42';

describe('a lock', () => {
  it('of one group holds that group alone, with who and why, and survives the process', async () => {
    const dir = folder();
    const store = open(dir);
    expect(await store.lock({ group: 'a', by, reason })).toBe(true);
    expect(store.denial('a')?.reason).toBe('locked_down');
    expect(store.denial('b')).toBeNull();
    const next = open(dir);
    expect(next.locks()).toMatchObject([{ group: 'a', by, reason }]);
    expect(next.denial('a')).not.toBeNull();
    expect(statSync(join(dir, 'lockdown.json')).mode & 0o777).toBe(0o600);
  });

  it('of all holds every group, and ending it leaves those that were locked by name', async () => {
    const store = open(folder());
    await store.lock({ group: 'a', by, reason });
    await store.lock({ group: '*', by, reason });
    expect(store.denial('b')).not.toBeNull();
    expect(await store.unlock('*')).toBe(true);
    expect([store.denial('a') === null, store.denial('b') === null]).toEqual([false, true]);
    expect(await store.unlock('a')).toBe(true);
    expect(await store.unlock('a')).toBe(false);
    expect(store.locks()).toEqual([]);
  });

  it('that stands already keeps who locked first', async () => {
    const store = open(folder());
    await store.lock({ group: '*', by, reason });
    expect(await store.lock({ group: '*', by: 'bob', reason: 'me too' })).toBe(false);
    expect(store.locks()).toMatchObject([{ by, reason }]);
  });

  it('tells no sandbox why', async () => {
    const store = open(folder());
    await store.lock({ group: '*', by, reason });
    expect(JSON.stringify(store.denial('a'))).not.toContain(reason);
  });

  it('is followed by whoever has the folder open', async () => {
    const dir = folder();
    const [one, two] = [open(dir, true), open(dir)];
    let told = 0;
    one.subscribe(() => {
      told += 1;
    });
    await two.lock({ group: 'a', by, reason });
    await eventually(() => one.denial('a'));
    await two.unlock('a');
    await eventually(() => one.denial('a') === null);
    expect(told).toBe(2);
  });

  it('is in force though it cannot be written, and is handed on', async () => {
    const dir = folder();
    const store = open(dir);
    rmSync(dir, { recursive: true });
    writeFileSync(dir, 'no folder any more');
    const done = await changeLockdown(store, { on: true, group: 'a', by, reason });
    unlinkSync(dir);
    mkdirSync(dir);
    store.reload();
    expect(done.problem).toMatch(/ENOTDIR/);
    expect(store.denial('a')).not.toBeNull();
    expect(store.denial('b')).toBeNull();
    const other = open(dir);
    other.hold(store.unwritten());
    expect(other.denial('a')).not.toBeNull();
    other.hold([]);
    expect(other.denial('a')).toBeNull();
  });

  it('that cannot be taken out of the file stays', async () => {
    const dir = folder();
    const store = open(dir);
    await store.lock({ group: 'a', by, reason });
    // A lock that another process seems to hold.
    writeFileSync(join(dir, 'lockdown.lock'), `${process.pid} x`);
    const done = await changeLockdown(store, { on: false, group: 'a', by, reason });
    expect(done.changed).toBe(false);
    expect(done.problem).toMatch(/try again/);
    expect(store.denial('a')).not.toBeNull();
  });
});

describe('the file `lockdown`', () => {
  it('locks all while it is there; its first line is the reason', async () => {
    const dir = folder();
    const store = open(dir, true);
    const found: FoundChange[] = [];
    store.subscribe((changes) => void found.push(...changes));
    writeFileSync(join(dir, 'lockdown'), 'disk \u001b[31mseized\nmore');
    await eventually(() => store.denial('a'));
    await eventually(() => store.locks()[0]?.reason === 'disk [31mseized');
    unlinkSync(join(dir, 'lockdown'));
    await eventually(() => store.denial('a') === null);
    expect(found.map(({ on, lock }) => [on, lock.by])).toEqual([
      [true, 'file'],
      [false, 'file'],
    ]);
  });

  it('goes when a program lets all go, and nobody takes that for a hand', async () => {
    const dir = folder();
    writeFileSync(join(dir, 'lockdown'), '');
    const [watcher, store] = [open(dir, true), open(dir)];
    const found: FoundChange[] = [];
    watcher.subscribe((changes) => void found.push(...changes));
    expect(watcher.denial('a')).not.toBeNull();
    expect(await store.unlock('*')).toBe(true);
    expect(existsSync(join(dir, 'lockdown'))).toBe(false);
    await eventually(() => watcher.denial('a') === null);
    expect(found).toEqual([]);
  });

  it('does not undo a lock of ours when it is taken away', async () => {
    const dir = folder();
    writeFileSync(join(dir, 'lockdown'), '');
    const store = open(dir);
    expect(await store.lock({ group: '*', by, reason })).toBe(true);
    unlinkSync(join(dir, 'lockdown'));
    store.reload();
    expect(store.denial('a')).not.toBeNull();
  });
});

describe('what cannot be trusted locks everybody', () => {
  it.each([
    ['no JSON', '{'],
    ['nothing', ''],
    ['another version', '{"version":2,"locks":[],"lifted":0}'],
    ['an unknown key', '{"version":1,"locks":[],"lifted":0,"x":1}'],
    [
      'a lock without its group',
      '{"version":1,"locks":[{"since":"2026-01-01T00:00:00Z","by":"a","reason":""}],"lifted":0}',
    ],
    ['too much', ' '.repeat(5 * 1024 * 1024)],
  ])('%s in the file', async (_title, text) => {
    const dir = folder();
    writeFileSync(join(dir, 'lockdown.json'), text);
    const store = open(dir);
    expect(store.denial('anybody')?.reason).toBe('locked_down');
    expect(store.locks()).toMatchObject([{ group: '*', by: 'file' }]);
    expect(await store.unlock('*')).toBe(true);
    expect(store.denial('anybody')).toBeNull();
  });

  it('a folder in the place of a file', () => {
    const dir = folder();
    mkdirSync(join(dir, 'lockdown.json'));
    expect(open(dir).denial('anybody')).not.toBeNull();
    rmSync(join(dir, 'lockdown.json'), { recursive: true });
    mkdirSync(join(dir, 'lockdown'));
    expect(open(dir).denial('anybody')).not.toBeNull();
  });

  it('a state folder that is gone', () => {
    const dir = folder();
    const store = open(dir);
    expect(store.denial('anybody')).toBeNull();
    rmSync(dir, { recursive: true });
    store.reload();
    expect(store.denial('anybody')).not.toBeNull();
    mkdirSync(dir);
  });

  it('is told of as found, once', () => {
    const dir = folder();
    const store = open(dir);
    const found: FoundChange[] = [];
    store.subscribe((changes) => void found.push(...changes));
    writeFileSync(join(dir, 'lockdown.json'), 'broken');
    store.reload();
    store.reload();
    expect(found).toMatchObject([{ on: true, lock: { group: '*', by: 'file' } }]);
  });
});

it('names of groups come back as they went in', async () => {
  const dir = folder();
  const store = open(dir);
  await store.lock({ group: 'grüße', by, reason: '"quoted" \\ 试' });
  expect(open(dir).locks()).toMatchObject([{ group: 'grüße', reason: '"quoted" \\ 试' }]);
  expect(JSON.parse(readFileSync(join(dir, 'lockdown.json'), 'utf8'))).toMatchObject({ version: 1 });
});
