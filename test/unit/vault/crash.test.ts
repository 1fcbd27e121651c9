/** Every file system call of a write fails once: the vault is then what it was before, or what it became. */
import type * as Fs from 'node:fs';
import { readdirSync } from 'node:fs';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { openVault } from '../../../src/vault/sealed.ts';
import { stateFolder } from './folder.ts';

const faults = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY, calls: 0 }));

vi.mock('node:fs', async (original) => {
  const real = await original<typeof Fs>();
  const failing =
    <A extends unknown[], R>(work: (...args: A) => R) =>
    (...args: A): R => {
      faults.calls += 1;
      faults.left -= 1;
      if (faults.left === 0) throw Object.assign(new Error('EIO: made by the test'), { code: 'EIO' });
      return work(...args);
    };
  return {
    ...real,
    openSync: failing(real.openSync),
    writeSync: failing(real.writeSync),
    writeFileSync: failing(real.writeFileSync),
    fsyncSync: failing(real.fsyncSync),
    fchmodSync: failing(real.fchmodSync),
    closeSync: failing(real.closeSync),
    renameSync: failing(real.renameSync),
    linkSync: failing(real.linkSync),
    unlinkSync: failing(real.unlinkSync),
    rmSync: failing(real.rmSync),
    mkdirSync: failing(real.mkdirSync),
    readFileSync: failing(real.readFileSync),
    statSync: failing(real.statSync),
  };
});

beforeEach(() => {
  faults.left = Number.POSITIVE_INFINITY;
});

const BEFORE = 'value-before-0123456789';
const AFTER = 'value-after-0123456789';

type Write = (dir: string) => Promise<unknown>;
const WRITES: [string, Write, readonly string[]][] = [
  ['rotating', (dir) => openVault({ dir }).rotate('a', Buffer.from(AFTER)), [BEFORE, AFTER]],
  ['removing', (dir) => openVault({ dir }).rm('a'), [BEFORE, 'nothing']],
  ['changing the key', (dir) => openVault({ dir }).rekey({}), [BEFORE]],
];

async function prepared(): Promise<string> {
  const dir = stateFolder();
  await openVault({ dir }).set('a', Buffer.from(BEFORE));
  await openVault({ dir }).set('other', Buffer.from('other-value-0123456789'));
  return dir;
}

async function countCalls(write: Write): Promise<number> {
  const dir = await prepared();
  faults.calls = 0;
  await write(dir);
  return faults.calls;
}

/** Runs the write with the n-th call failing; true when the write was reported as done. */
async function attempt(write: Write, dir: string, nth: number): Promise<boolean> {
  faults.left = nth;
  try {
    await write(dir);
    return true;
  } catch {
    return false;
  } finally {
    faults.left = Number.POSITIVE_INFINITY;
  }
}

async function contentOf(dir: string): Promise<string> {
  const vault = openVault({ dir });
  expect((await vault.get('other')).expose().toString()).toBe('other-value-0123456789');
  if (!vault.list().some((row) => row.name === 'a')) return 'nothing';
  return (await vault.get('a')).expose().toString();
}

describe.each(WRITES)('%s while the disk fails', (_what, write, states) => {
  it('leaves the state before or the state after, and the vault writable', async () => {
    const calls = await countCalls(write);
    expect(calls).toBeGreaterThan(10);
    for (let nth = 1; nth <= calls; nth += 1) {
      const dir = await prepared();
      const done = await attempt(write, dir, nth);
      const found = await contentOf(dir);
      expect(states, `call ${nth}`).toContain(found);
      if (done) expect(found, `call ${nth}`).toBe(states.at(-1));
      for (const name of readdirSync(dir)) if (name === 'vault.lock') await removeLock(dir);
      await openVault({ dir }).set('later', Buffer.from('later-value-0123456789'));
    }
  });
});

/** Only a failing `unlink` of the lock itself leaves it; its holder's process is alive here, in life it is not. */
async function removeLock(dir: string): Promise<void> {
  const { rmSync } = await vi.importActual<typeof Fs>('node:fs');
  rmSync(`${dir}/vault.lock`);
}
