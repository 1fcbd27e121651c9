/**
 * What an installation needs besides settings and policies: the CA, the state folder and the keys in it.
 * Called by `init` and by `start`; makes what is missing, never replaces what is there, safe at the same
 * time from two processes.
 */
import { randomBytes } from 'node:crypto';
import { accessSync, chmodSync, constants, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createFileDurable } from '../base/durable.ts';
import { errorCode } from '../base/error-code.ts';
import { type Closed, exposure } from '../base/private-file.ts';
import type { Settings } from '../config/settings.ts';
import { authorityPaths, type CertificateAuthority } from '../intercept/authority.ts';
import { AuthorityError } from '../intercept/authority-error.ts';
import { ensureAuthorities } from '../intercept/rotation.ts';
import {
  createVaultKey,
  loadPlaceholderKey,
  readKeyFile,
  vaultKeyPath,
  vaultPath,
} from '../vault/key-file.ts';
import { SecretSourceError } from '../vault/source.ts';
import { unlockFrom } from '../vault/unlock.ts';
import { CliError } from './io.ts';

export type InstallStep = { readonly what: string; readonly path: string; readonly created: boolean };

export type Installed = {
  readonly authority: CertificateAuthority;
  /** bearer token of the admin side */
  readonly adminToken: string;
  /** 32 bytes that placeholders are derived from */
  readonly placeholderKey: Buffer;
  readonly steps: readonly InstallStep[];
};

export type InstallOptions = {
  /** milliseconds since the epoch */
  readonly now: number;
  readonly env: Readonly<Record<string, string | undefined>>;
};

const ADMIN_TOKEN_BYTES = 32;

/** Makes and reads it all. Throws CliError with the file and the fix, and the file system's errors. */
export function ensureInstall(settings: Settings, opts: InstallOptions): Installed {
  try {
    return install(settings, opts);
  } catch (error) {
    const known = error instanceof AuthorityError || error instanceof SecretSourceError;
    throw known ? new CliError(error.message, 1, { cause: error }) : error;
  }
}

function install(settings: Settings, opts: InstallOptions): Installed {
  const { dir } = settings.state;
  const { authorities, created } = ensureAuthorities(settings.certs, opts.now);
  const madeFolder = mkdirSync(dir, { recursive: true, mode: 0o700 }) !== undefined;
  closeFolder(dir);
  if (existsSync(vaultPath(dir))) refuseOpen(vaultPath(dir));
  const vault = ensureVaultKey(dir, opts.env);
  const placeholderPath = join(dir, 'placeholder.key');
  const madePlaceholderKey = !existsSync(placeholderPath);
  const placeholderKey = loadPlaceholderKey(dir);
  const admin = ensureAdminToken(dir);
  return {
    authority: authorities.signer,
    placeholderKey,
    adminToken: admin.token,
    steps: [
      { what: 'interception CA', path: authorityPaths(settings.certs).cert, created },
      { what: 'state folder', path: dir, created: madeFolder },
      ...vault,
      { what: 'placeholder key', path: placeholderPath, created: madePlaceholderKey },
      admin.step,
    ],
  };
}

/**
 * The vault's key file: not where the environment has what opens it, and not beside a vault that it did not seal, where a fresh key
 * would only hide that the right one is lost.
 */
function ensureVaultKey(dir: string, env: InstallOptions['env']): InstallStep[] {
  const path = vaultKeyPath(dir);
  const { passphrase, key } = unlockFrom(env);
  const wanted = passphrase === undefined && key === undefined && !existsSync(vaultPath(dir));
  const created = !existsSync(path) && wanted && createVaultKey(dir);
  if (!existsSync(path)) return [];
  readKeyFile(path);
  return [{ what: 'vault key', path, created }];
}

/** 256 random bits in the URL alphabet, with a prefix that people and secret scanners can tell. */
function ensureAdminToken(dir: string): { token: string; step: InstallStep } {
  const path = join(dir, 'admin.token');
  const fresh = `spa_${randomBytes(ADMIN_TOKEN_BYTES).toString('base64url')}\n`;
  const created = !existsSync(path) && createFileDurable(path, fresh, 0o600);
  refuseOpen(path);
  const token = readFileSync(path, 'utf8').trim();
  if (!/^[\x21-\x7e]{32,}$/.test(token)) {
    throw new CliError(`${path} must hold one token of at least 32 characters; remove it to get a new one`);
  }
  return { token, step: { what: 'admin token', path, created } };
}

/** Ours is closed without a word, as a fresh folder of a volume is open; one that cannot be closed is refused. */
function closeFolder(dir: string): void {
  if ((statSync(dir).mode & 0o077) !== 0) {
    try {
      chmodSync(dir, 0o700);
    } catch {
      // Another user's: told below, with what to run.
    }
  }
  // A service manager may put a link there (systemd's DynamicUser does).
  refuseOpen(dir, { link: true });
  refuseReadOnly(dir);
}

/** Asked before anything is made in it: the errors of a read-only file system name what is missing, not why. */
function refuseReadOnly(dir: string): void {
  try {
    accessSync(dir, constants.W_OK);
  } catch (error) {
    const message = `${dir} cannot be written (${errorCode(error)}): put state.dir where this user can write`;
    throw new CliError(message, 1, { cause: error });
  }
}

function refuseOpen(path: string, closed: Closed = {}): void {
  const exposed = exposure(path, closed);
  if (exposed !== null) throw new CliError(exposed);
}
