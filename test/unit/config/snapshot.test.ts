import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createSnapshotHolder } from '../../../src/config/snapshot.ts';
import { watchFolder } from '../../../src/config/watch.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-snapshot-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const clock = { now: () => 1_700_000_000_000, mono: () => 0 };
const policy = (host: string) =>
  `version: 1\ngroup: g\nidentify: { sources: [10.0.0.0/8] }\nrules: [{ allow: ${host} }]\n`;
const write = (text: string, name = 'g.yaml') => writeFileSync(join(dir, name), text);

describe('the snapshot holder', () => {
  it('holds nothing until a load succeeded', () => {
    const holder = createSnapshotHolder(dir, clock);
    expect(holder.current()).toBeNull();
    write('rules: [');
    expect(holder.reload().ok).toBe(false);
    expect(holder.current()).toBeNull();
  });

  it('swaps to a new snapshot and tells its listeners about both', () => {
    write(policy('a.test'));
    const holder = createSnapshotHolder(dir, clock);
    const listener = vi.fn();
    const stop = holder.subscribe(listener);
    const first = holder.reload();
    write(policy('b.test'));
    const second = holder.reload();
    if (!first.ok || !second.ok) throw new Error('both are legal');
    expect(listener.mock.calls).toEqual([
      [first.snapshot, null],
      [second.snapshot, first.snapshot],
    ]);
    expect(second.snapshot.id).toBe(`${second.snapshot.set.hash}.2`);
    expect(second.snapshot.sources.lookup('10.1.2.3')).toBe('g');
    expect(second.snapshot.loadedAt).toBe(1_700_000_000_000);
    expect(Object.isFrozen(second.snapshot)).toBe(true);
    stop();
    write(policy('c.test'));
    holder.reload();
    expect(listener).toHaveBeenCalledTimes(2);
  });

  it('keeps the old one when the new files are bad, and says why', () => {
    write(policy('a.test'));
    const holder = createSnapshotHolder(dir, clock);
    holder.reload();
    const before = holder.current();
    write(policy('"*.com"'));
    expect(holder.reload()).toMatchObject({ ok: false, problems: [{ line: 4 }] });
    expect(holder.current()).toBe(before);
    rmSync(join(dir, 'g.yaml'));
    rmSync(dir, { recursive: true });
    expect(holder.reload().ok).toBe(false);
    expect(holder.current()).toBe(before);
  });

  it.each([
    [
      'a folder, as Docker makes where the source of a mount is missing',
      () => mkdirSync(join(dir, 'guardrails.yaml')),
    ],
    ['a link that leads nowhere', () => symlinkSync('nowhere', join(dir, 'guardrails.yaml'))],
    ['a link that leads to itself', () => symlinkSync('guardrails.yaml', join(dir, 'guardrails.yaml'))],
  ])('does without no guardrails because they are %s', (_what, act) => {
    write(policy('a.test'));
    write('version: 1\nrules: [{ deny: b.test }]\n', 'guardrails.yaml');
    const holder = createSnapshotHolder(dir, clock);
    holder.reload();
    const before = holder.current();
    expect(before?.set.guardrails).toHaveLength(1);
    rmSync(join(dir, 'guardrails.yaml'));
    act();
    const file: unknown = expect.stringMatching(/\/guardrails\.yaml$/);
    expect(holder.reload()).toMatchObject({ ok: false, problems: [{ file }] });
    expect(holder.current()).toBe(before);
  });

  it('takes no profiles folder that it cannot read for an empty one', () => {
    write(policy('a.test'));
    symlinkSync('profiles', join(dir, 'profiles'));
    const holder = createSnapshotHolder(dir, clock);
    expect(holder.reload()).toMatchObject({
      ok: false,
      problems: [{ message: 'the folder cannot be read (ELOOP)' }],
    });
    rmSync(join(dir, 'profiles'));
    expect(holder.reload().ok).toBe(true);
  });

  it('keeps the snapshot, and its id, when nothing changed', () => {
    write(policy('a.test'));
    const holder = createSnapshotHolder(dir, clock);
    const listener = vi.fn();
    holder.subscribe(listener);
    holder.reload();
    const before = holder.current();
    expect(holder.reload()).toEqual({ ok: true, snapshot: before });
    expect(listener).toHaveBeenCalledTimes(1);
  });
});

describe('watching the folder', () => {
  const quick = { debounceMs: 20, pollMs: 100 };

  async function changesAfter(act: () => void): Promise<void> {
    const onChange = vi.fn();
    const stop = watchFolder(dir, onChange, quick);
    try {
      act();
      await vi.waitFor(() => expect(onChange).toHaveBeenCalled(), { timeout: 5000, interval: 10 });
    } finally {
      stop();
    }
  }

  it('tells of a written, a replaced and a removed file, and of one in a new sub-folder', async () => {
    await changesAfter(() => write('a'));
    await changesAfter(() => {
      write('b', 'tmp');
      renameSync(join(dir, 'tmp'), join(dir, 'g.yaml'));
    });
    await changesAfter(() => {
      mkdirSync(join(dir, 'profiles'));
      write('c', 'profiles/p.yaml');
    });
    await changesAfter(() => write('dd', 'profiles/p.yaml'));
    await changesAfter(() => rmSync(join(dir, 'g.yaml')));
  });

  it('tells of a swapped link, as Kubernetes mounts change', async () => {
    mkdirSync(join(dir, '..v1'));
    mkdirSync(join(dir, '..v2'));
    write('one', '..v1/g.yaml');
    write('two', '..v2/g.yaml');
    symlinkSync('..v1', join(dir, '..data'));
    symlinkSync('..data/g.yaml', join(dir, 'g.yaml'));
    await changesAfter(() => {
      symlinkSync('..v2', join(dir, '..tmp'));
      renameSync(join(dir, '..tmp'), join(dir, '..data'));
    });
  });

  it('tells of a link that leads nowhere or in a circle, and of its going, as of any file', async () => {
    for (const to of ['nowhere', 'g.yaml']) {
      await changesAfter(() => symlinkSync(to, join(dir, 'g.yaml')));
      await changesAfter(() => rmSync(join(dir, 'g.yaml')));
    }
    await changesAfter(() => symlinkSync('profiles', join(dir, 'profiles')));
  });

  it('says nothing of what an editor keeps beside a file', async () => {
    const onChange = vi.fn();
    const edited = join(dir, 'edited');
    mkdirSync(edited);
    const stop = watchFolder(edited, onChange, quick);
    writeFileSync(join(edited, '.g.yaml.swp'), 'swap');
    symlinkSync('ann@host.1', join(edited, '.#g.yaml'));
    // Whoever began to watch later, and whose folder changed later, has heard by now.
    await changesAfter(() => write('a'));
    expect(onChange).not.toHaveBeenCalled();
    stop();
  });

  it('finds a folder that was away', async () => {
    rmSync(dir, { recursive: true });
    await changesAfter(() => {
      mkdirSync(dir);
      write('a');
    });
  });

  it('tells once of many writes, and nothing after it was stopped', async () => {
    const onChange = vi.fn();
    const stop = watchFolder(dir, onChange, { debounceMs: 60, pollMs: 50 });
    for (let i = 0; i < 20; i += 1) write(`text ${i}`);
    await vi.waitFor(() => expect(onChange).toHaveBeenCalledTimes(1), { timeout: 5000, interval: 5 });
    stop();
    write('later');
    await vi.waitFor(() => undefined);
    expect(onChange).toHaveBeenCalledTimes(1);
  });
});
