/**
 * The files that hold installation keys: `vault.key` opens the built-in vault, `placeholder.key` is what
 * placeholders are derived from (its own file, so that a new vault key leaves all placeholders as they are).
 * Each is 32 random bytes, readable by its owner alone. Made by `init`, the first start and `vault set`.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createFileDurable } from '../base/durable.ts';
import { exposure } from '../base/private-file.ts';
import { KEY_BYTES } from './seal.ts';
import { SecretSourceError } from './source.ts';

const OWNER_ONLY = 0o600;

export function vaultKeyPath(dir: string): string {
  return join(dir, 'vault.key');
}

/** The sealed file itself. */
export function vaultPath(dir: string): string {
  return join(dir, 'vault.json');
}

/** Creates `vault.key` in the state folder unless it is there: true when it was created. */
export function createVaultKey(dir: string): boolean {
  return createKeyFile(vaultKeyPath(dir));
}

/** The key for `createBindings`, created in the state folder at first use. */
export function loadPlaceholderKey(dir: string): Buffer {
  const path = join(dir, 'placeholder.key');
  createKeyFile(path);
  return readKeyFile(path);
}

/** Throws `locked` when the file is missing, `insecure_permissions` or `damaged` when it cannot be trusted. */
export function readKeyFile(path: string): Buffer {
  let bytes: Buffer;
  try {
    const exposed = exposure(path);
    if (exposed !== null) throw new SecretSourceError('insecure_permissions', exposed);
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof SecretSourceError) throw error;
    throw new SecretSourceError('locked', `the key file ${path} cannot be read`, { cause: error });
  }
  if (bytes.length !== KEY_BYTES) {
    throw new SecretSourceError('damaged', `${path} must hold ${KEY_BYTES} bytes, but holds ${bytes.length}`);
  }
  return bytes;
}

function createKeyFile(path: string): boolean {
  if (existsSync(path)) return false;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return createFileDurable(path, randomBytes(KEY_BYTES), OWNER_ONLY);
}
