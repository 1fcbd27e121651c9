import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  createVaultKey,
  loadPlaceholderKey,
  readKeyFile,
  vaultKeyPath,
} from '../../../src/vault/key-file.ts';
import { codeOf, stateFolder } from './folder.ts';

describe('a key file', () => {
  it('is made once, for the owner alone, and never replaced', () => {
    const dir = join(stateFolder(), 'not', 'there', 'yet');
    expect(createVaultKey(dir)).toBe(true);
    const before = readFileSync(vaultKeyPath(dir));
    expect(before).toHaveLength(32);
    expect(statSync(vaultKeyPath(dir)).mode & 0o777).toBe(0o600);
    expect(createVaultKey(dir)).toBe(false);
    expect(readKeyFile(vaultKeyPath(dir))).toEqual(before);
  });

  it('of placeholders is another one and stays', () => {
    const dir = stateFolder();
    createVaultKey(dir);
    const key = loadPlaceholderKey(dir);
    expect(loadPlaceholderKey(dir)).toEqual(key);
    expect(readFileSync(vaultKeyPath(dir))).not.toEqual(key);
  });

  it.each([0, 31, 33])('of %i bytes is refused', async (length) => {
    const path = join(stateFolder(), 'vault.key');
    writeFileSync(path, Buffer.alloc(length), { mode: 0o600 });
    expect(await codeOf(() => readKeyFile(path))).toBe('damaged');
  });

  it('that is missing is told with its path', () => {
    expect(() => readKeyFile('/nowhere/vault.key')).toThrow('/nowhere/vault.key');
  });
});
