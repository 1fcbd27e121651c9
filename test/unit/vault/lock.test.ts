import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withLock } from '../../../src/vault/lock.ts';
import { codeOf, stateFolder } from './folder.ts';

/** No process has this id: the kernel's highest is 2^22. */
const DEAD = 4_194_305;

describe('the write lock', () => {
  it('is held during the work and gone after it, after a failure too', async () => {
    const path = join(stateFolder(), 'lock');
    expect(await withLock(path, (lock) => [existsSync(path), lock.held()])).toEqual([true, true]);
    expect(existsSync(path)).toBe(false);
    await expect(
      withLock(path, () => {
        throw new Error('work failed');
      }),
    ).rejects.toThrow('work failed');
    expect(existsSync(path)).toBe(false);
  });

  it('of a living process is waited for, and given up on', async () => {
    const path = join(stateFolder(), 'lock');
    writeFileSync(path, `${process.pid} ${hostname()} x\n`);
    expect(await codeOf(() => withLock(path, () => 1, 60))).toBe('busy');
    expect(existsSync(path)).toBe(true);
  });

  it('of a process on another machine is waited for', async () => {
    const path = join(stateFolder(), 'lock');
    writeFileSync(path, `${DEAD} elsewhere x\n`);
    expect(await codeOf(() => withLock(path, () => 1, 60))).toBe('busy');
  });

  it('of a process that died is taken over', async () => {
    const dir = stateFolder();
    const path = join(dir, 'lock');
    writeFileSync(path, `${DEAD} ${hostname()} x\n`);
    expect(await withLock(path, () => 'done', 1_000)).toBe('done');
    expect(readdirSync(dir)).toEqual([]);
  });

  it.each(['', 'garbage', `${process.pid} ${hostname()} x\n`])(
    'that is too old is taken over: %j',
    async (text) => {
      const path = join(stateFolder(), 'lock');
      writeFileSync(path, text);
      utimesSync(path, new Date(), new Date(Date.now() - 60_000));
      expect(await withLock(path, () => 'done', 1_000)).toBe('done');
    },
  );

  it('that was taken away is noticed by its holder, and left to the other', async () => {
    const path = join(stateFolder(), 'lock');
    const held = await withLock(path, (lock) => {
      writeFileSync(path, 'another holder');
      return lock.held();
    });
    expect(held).toBe(false);
    expect(existsSync(path)).toBe(true);
  });
});
