import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseVaultKey, unlockFrom } from '../../../src/vault/unlock.ts';
import { codeOf, stateFolder } from './folder.ts';

const KEY = randomBytes(32);

describe('what opens a vault', () => {
  it('is nothing in an empty environment', () => {
    expect(unlockFrom({})).toEqual({});
    expect(unlockFrom({ SALLYPORT_VAULT_PASSPHRASE: '', SALLYPORT_VAULT_KEY_FILE: '' })).toEqual({});
  });

  it('is a passphrase from the variable, or from the first line of the file that is named', () => {
    const file = join(stateFolder(), 'pass');
    writeFileSync(file, 'from file \r\nsecond line');
    expect(unlockFrom({ SALLYPORT_VAULT_PASSPHRASE_FILE: file })).toEqual({ passphrase: 'from file ' });
    expect(
      unlockFrom({ SALLYPORT_VAULT_PASSPHRASE: 'direct', SALLYPORT_VAULT_PASSPHRASE_FILE: file }),
    ).toEqual({ passphrase: 'direct' });
  });

  it.each([
    ['hex', KEY.toString('hex')],
    ['upper-case hex', KEY.toString('hex').toUpperCase()],
    ['base64', KEY.toString('base64')],
    ['base64 for URLs', KEY.toString('base64url')],
    ['base64 with a line end', `${KEY.toString('base64')}\n`],
  ])('is a key of 32 bytes in %s, from the variable or a file', (_what, text) => {
    expect(unlockFrom({ SALLYPORT_VAULT_KEY: text })).toEqual({ key: KEY });
    const file = join(stateFolder(), 'key');
    writeFileSync(file, text);
    expect(unlockFrom({ SALLYPORT_VAULT_KEY_FILE: file })).toEqual({ key: KEY });
  });

  it.each(['short', 'x'.repeat(64), randomBytes(31).toString('hex'), randomBytes(33).toString('base64')])(
    'is not %s, and the error does not quote it',
    (text) => {
      expect(() => parseVaultKey(text)).toThrow('openssl rand -base64 32');
      expect(() => parseVaultKey(text)).not.toThrow(text);
    },
  );

  it('is never silently missing when a file was named, nor a choice of two', async () => {
    const file = join(stateFolder(), 'pass');
    for (const name of ['SALLYPORT_VAULT_PASSPHRASE_FILE', 'SALLYPORT_VAULT_KEY_FILE']) {
      expect(await codeOf(() => unlockFrom({ [name]: file }))).toBe('locked');
    }
    writeFileSync(file, '\n');
    expect(await codeOf(() => unlockFrom({ SALLYPORT_VAULT_PASSPHRASE_FILE: file }))).toBe('locked');
    const both = { SALLYPORT_VAULT_PASSPHRASE: 'a', SALLYPORT_VAULT_KEY: KEY.toString('hex') };
    expect(await codeOf(() => unlockFrom(both))).toBe('locked');
  });
});
