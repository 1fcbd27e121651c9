/**
 * Which key opens the vault: the key file, a passphrase or a key from the environment, as the vault file itself says,
 * and how one replaces the other without a moment in which a crash would lose the vault. Used by `sealed.ts`.
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
  newPassphraseKdf,
  type PassphraseKdf,
  type VaultKeys,
} from './seal.ts';
import { SecretSourceError } from './source.ts';
import type { Unlock } from './unlock.ts';

type Kdf = VaultFile['kdf'];
type About = Pick<VaultFile, 'id' | 'kdf' | 'check'>;
type Fresh = { readonly kdf: Kdf; readonly keys: VaultKeys };

export type KeyMaker = {
  /** The keys that open this file. Throws `locked` or `wrong_key`. */
  keysFor(file: About): VaultKeys;
  /** For a vault that does not exist yet; makes the key file if the environment has nothing. */
  keysForNew(id: string): Fresh;
  /** By whoever holds the write lock, before anything else: ends what an interrupted `replace` left. */
  settle(file: About): void;
  /** New keys, already on the disk if they are a file; `done` is called once the vault file uses them. */
  replace(id: string, next: Unlock): Fresh & { readonly done: () => void };
};

const KEY_FILE: Kdf = { kind: 'key-file' };
const ENVIRONMENT: Kdf = { kind: 'environment' };

/** `unlock`: what there is beside the key file; asked at each use. */
export function createKeyMaker(dir: string, unlock: () => Unlock): KeyMaker {
  const path = vaultKeyPath(dir);
  const next = `${path}.next`;
  const masterOf = rememberLast();
  /** what a `replace` of this object set: the environment may still have the old one */
  let replaced: Unlock | null = null;
  const have = (): Unlock => replaced ?? unlock();

  const fresh = (id: string, { passphrase, key }: Unlock): Fresh | null => {
    if (key !== undefined) return { kdf: ENVIRONMENT, keys: deriveKeys(key, id) };
    if (passphrase === undefined) return null;
    const kdf = newPassphraseKdf();
    return { kdf, keys: deriveKeys(masterOf(passphrase, kdf), id) };
  };

  return {
    keysFor: ({ id, kdf, check }) => {
      if (kdf.kind === 'key-file') return fromFiles([path, next], id, check);
      const keys = deriveKeys(masterFor(kdf, have(), masterOf), id);
      if (keys.check === check) return keys;
      const what = kdf.kind === 'environment' ? 'the key of the environment' : 'the passphrase';
      throw new SecretSourceError('wrong_key', `${what} does not open this vault`);
    },
    keysForNew: (id) => {
      const made = fresh(id, have());
      if (made !== null) return made;
      createVaultKey(dir);
      return { kdf: KEY_FILE, keys: deriveKeys(readKeyFile(path), id) };
    },
    settle: ({ id, kdf, check }) => {
      if (!existsSync(next)) return;
      if (kdf.kind === 'key-file' && deriveFrom(next, id)?.check === check) renameSync(next, path);
      else rmSync(next, { force: true });
    },
    replace: (id, unlocked) => {
      const made = fresh(id, unlocked);
      if (made === null) {
        const key = randomBytes(KEY_BYTES);
        writeFileDurable(next, key, 0o600);
        return { kdf: KEY_FILE, keys: deriveKeys(key, id), done: () => renameSync(next, path) };
      }
      const done = (): void => {
        replaced = unlocked;
        rmSync(path, { force: true });
      };
      return { ...made, done };
    },
  };
}

/**
 * A new key waits under its second name until the vault file uses it: whoever reads meanwhile finds its key under
 * either. The first name again at last: what stood under the second may have got it in between.
 */
function fromFiles([path, next]: readonly [string, string], id: string, check: string): VaultKeys {
  for (const name of [path, next, path]) {
    const keys = deriveFrom(name, id);
    if (keys?.check === check) return keys;
  }
  if (!existsSync(path))
    throw new SecretSourceError('locked', `the vault's key file ${path} is missing; put it back`);
  throw new SecretSourceError('wrong_key', `${path} does not open this vault`);
}

function masterFor(
  kdf: Exclude<Kdf, { kind: 'key-file' }>,
  { passphrase, key }: Unlock,
  masterOf: (passphrase: string, kdf: PassphraseKdf) => Buffer,
): Buffer {
  if (kdf.kind === 'environment') {
    if (key !== undefined) return key;
    throw locked('its key from the environment: SALLYPORT_VAULT_KEY, or SALLYPORT_VAULT_KEY_FILE');
  }
  if (passphrase !== undefined) return masterOf(passphrase, kdf);
  throw locked('its passphrase: SALLYPORT_VAULT_PASSPHRASE, or SALLYPORT_VAULT_PASSPHRASE_FILE');
}

function locked(need: string): SecretSourceError {
  return new SecretSourceError('locked', `the vault needs ${need}`);
}

/** `null`: no such file, or gone to its other name meanwhile. */
function deriveFrom(path: string, id: string): VaultKeys | null {
  let master: Buffer;
  try {
    master = readKeyFile(path);
  } catch (error) {
    if (!existsSync(path)) return null;
    throw error;
  }
  const keys = deriveKeys(master, id);
  master.fill(0);
  return keys;
}

/** It takes a quarter of a second on purpose: the last result is kept. */
function rememberLast(): (passphrase: string, kdf: PassphraseKdf) => Buffer {
  let last: { about: string; master: Buffer } | undefined;
  return (passphrase, kdf) => {
    const about = JSON.stringify([passphrase, kdf]);
    if (last?.about !== about) last = { about, master: masterFromPassphrase(passphrase, kdf) };
    return last.master;
  };
}
