/** An older state of the vault in place of the newest, for a process that has seen neither. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openVault } from '../../../src/vault/sealed.ts';
import { codeOf, stateFolder } from './folder.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

async function rotated(): Promise<{ dir: string; vault: string; seen: string; older: Buffer }> {
  const dir = stateFolder();
  const vault = join(dir, 'vault.json');
  await openVault({ dir }).set('a', bytes('first value of a'));
  const older = readFileSync(vault);
  await openVault({ dir }).set('a', bytes('second value of a'));
  return { dir, vault, seen: join(dir, 'vault-seen.json'), older };
}

describe('a vault that was set back', () => {
  it('is refused by a process that starts later, for reading and for writing, and the cure is told', async () => {
    const { dir, vault, seen, older } = await rotated();
    writeFileSync(vault, older);
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('rolled_back');
    expect(await codeOf(() => openVault({ dir }).set('b', bytes('b')))).toBe('rolled_back');
    await expect(openVault({ dir }).get('a')).rejects.toThrow(`remove ${seen}`);
    rmSync(seen);
    expect((await openVault({ dir }).get('a')).expose().toString()).toBe('first value of a');
  });

  it('is refused together with its older key, after a rekey too', async () => {
    const { dir, vault } = await rotated();
    const [older, key] = [readFileSync(vault), readFileSync(join(dir, 'vault.key'))];
    await openVault({ dir }).rekey({});
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('no error');
    writeFileSync(vault, older);
    writeFileSync(join(dir, 'vault.key'), key);
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('rolled_back');
  });

  it('is refused when it is gone, and no new one is made in its place', async () => {
    const { dir, vault, seen } = await rotated();
    rmSync(vault);
    expect(await codeOf(() => openVault({ dir }).set('a', bytes('third')))).toBe('rolled_back');
    expect(existsSync(vault)).toBe(false);
    rmSync(seen);
    expect(await openVault({ dir }).set('a', bytes('third'))).toBe('created');
  });

  it('is refused when it is another vault', async () => {
    const { dir, vault } = await rotated();
    const other = stateFolder();
    await openVault({ dir: other }).set('a', bytes('value of another'));
    writeFileSync(vault, readFileSync(join(other, 'vault.json')));
    writeFileSync(join(dir, 'vault.key'), readFileSync(join(other, 'vault.key')));
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('rolled_back');
  });

  it('cannot be hidden by changing what was seen, whichever byte', async () => {
    const { dir, seen } = await rotated();
    const good = readFileSync(seen);
    for (let at = 0; at < good.length; at += 1) {
      for (const flip of [0x01, 0x80]) {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ flip;
        writeFileSync(seen, bad);
        expect(['damaged', 'rolled_back'], `${at}^${flip}`).toContain(
          await codeOf(() => openVault({ dir }).get('a')),
        );
      }
    }
    writeFileSync(seen, `${good.toString()}x`);
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('damaged');
  });

  it('is served where nothing was seen yet, as after an update from an older version', async () => {
    const { dir, seen } = await rotated();
    rmSync(seen);
    const vault = openVault({ dir });
    expect((await vault.get('a')).expose().toString()).toBe('second value of a');
    await vault.set('b', bytes('value of b'));
    expect(existsSync(seen)).toBe(true);
  });

  it('still has its revoked values where a process knew them', async () => {
    const { dir, vault: file, older } = await rotated();
    const vault = openVault({ dir });
    await vault.get('a');
    writeFileSync(file, older);
    expect(await codeOf(() => vault.get('a'))).toBe('rolled_back');
    expect((await vault.revoked()).some((one) => one.matches(bytes('first value of a')))).toBe(true);
  });
});
