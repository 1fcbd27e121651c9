/**
 * Which key opens the vault: the key file or a passphrase, as the vault file itself says, and how one
 * replaces the other without a moment in which a crash would lose the vault. Used by `sealed.ts`.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { writeFileDurable } from '../base/durable.ts';
import { createVaultKey, readKeyFile, vaultKeyPath } from './key-file.ts';
import type { VaultFile } from './schema.ts';
import {
  deriveKeys,
  KEY_BYTES,
  masterFromPassphrase,
  newScryptParameters,
  type ScryptParameters,
  type VaultKeys,
} from './seal.ts';
import { SecretSourceError } from './source.ts';

type Kdf = VaultFile['kdf'];

export type KeyMaker = {
  /** The keys that open this file. Throws `locked` or `wrong_key`. */
  keysFor(file: Pick<VaultFile, 'id' | 'kdf' | 'check'>): VaultKeys;
  /** For a vault that does not exist yet; makes the key file if there is neither passphrase nor file. */
  keysForNew(id: string): { kdf: Kdf; keys: VaultKeys };
  /** New keys, already on the disk if they are a file; `done` is called once the vault file uses them. */
  replace(id: string, passphrase: string | undefined): { kdf: Kdf; keys: VaultKeys; done: () => void };
};

export function createKeyMaker(dir: string, passphrase: string | undefined): KeyMaker {
  let secret = passphrase;
  const path = vaultKeyPath(dir);
  const next = `${path}.next`;
  const scrypt = scryptCache();

  const fromFile = (id: string, check: string): VaultKeys => {
    const keys = existsSync(path) ? deriveKeys(readKeyFile(path), id) : null;
    if (keys?.check === check) return keys;
    // A rekey that was interrupted between its two renames left the new key under its first name.
    if (existsSync(next)) {
      const waiting = deriveKeys(readKeyFile(next), id);
      if (waiting.check === check) {
        renameSync(next, path);
        return waiting;
      }
    }
    if (keys === null) throw new SecretSourceError('locked', `the vault's key file ${path} is missing`);
    throw new SecretSourceError('wrong_key', `${path} does not open this vault`);
  };

  const fromPassphrase = (id: string, kdf: ScryptParameters): VaultKeys => {
    if (secret === undefined) throw new SecretSourceError('locked', 'the vault needs its passphrase');
    return deriveKeys(scrypt(secret, kdf), id);
  };

  return {
    keysFor: ({ id, kdf, check }) => {
      if (kdf.kind === 'key-file') return fromFile(id, check);
      const keys = fromPassphrase(id, kdf);
      if (keys.check !== check)
        throw new SecretSourceError('wrong_key', 'the passphrase does not open this vault');
      return keys;
    },
    keysForNew: (id) => {
      if (secret !== undefined) {
        const kdf = newScryptParameters();
        return { kdf, keys: fromPassphrase(id, kdf) };
      }
      createVaultKey(dir);
      return { kdf: { kind: 'key-file' }, keys: deriveKeys(readKeyFile(path), id) };
    },
    replace: (id, passphrase) => {
      if (passphrase !== undefined) {
        const kdf = newScryptParameters();
        const keys = deriveKeys(scrypt(passphrase, kdf), id);
        const done = (): void => {
          secret = passphrase;
          rmSync(path, { force: true });
        };
        return { kdf, keys, done };
      }
      const key = randomBytes(KEY_BYTES);
      writeFileDurable(next, key, 0o600);
      return { kdf: { kind: 'key-file' }, keys: deriveKeys(key, id), done: () => renameSync(next, path) };
    },
  };
}

/** scrypt takes a third of a second on purpose: remember the last result. */
function scryptCache(): (passphrase: string, kdf: ScryptParameters) => Buffer {
  let last: { about: string; master: Buffer } | undefined;
  return (passphrase, kdf) => {
    const about = JSON.stringify([passphrase, kdf]);
    if (last?.about !== about) last = { about, master: masterFromPassphrase(passphrase, kdf) };
    return last.master;
  };
}
