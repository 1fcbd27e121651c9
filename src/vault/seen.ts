/**
 * The newest state of the vault that this installation has written, in a file of its own: an older `vault.json` in
 * its place is noticed, also by a process that starts later. Authenticated with a key that stands in the vault and
 * outlives its rekeys. It cannot notice that both files were set back together, or that this one was taken away with
 * it: whoever can do that has the whole state folder. Used by `store.ts`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { errorCode } from '../base/error-code.ts';
import { hmac, sameBytes } from './seal.ts';
import { SecretSourceError } from './source.ts';

const MAX_FILE_CHARACTERS = 1024;

type Vault = {
  readonly id: string;
  readonly counter: number;
  readonly revoked: { readonly key: string };
};

/** What the file says. To be read before the vault: it must not be newer than what is judged by it. */
export type Seen = { readonly path: string; readonly text: string };

/** `null`: no such file. Throws `unreadable`. */
export function readSeen(dir: string): Seen | null {
  const path = seenPath(dir);
  try {
    return { path, text: readFileSync(path, 'latin1').slice(0, MAX_FILE_CHARACTERS) };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw new SecretSourceError('unreadable', `${path} cannot be read`, { cause: error });
  }
}

/** Throws `rolled_back` for an older or another vault, `damaged` for a file that this vault did not write. */
export function checkSeen({ path, text }: Seen, vault: Vault): void {
  const [, id, digits] = /"id":"([\w-]{22})","counter":(\d{1,15}),/.exec(text) ?? [];
  if (id === undefined || digits === undefined) throw damaged(path);
  if (id !== vault.id)
    throw new SecretSourceError('rolled_back', `vault.json is another vault; ${cure(path)}`);
  const counter = Number(digits);
  if (!sameBytes(Buffer.from(text, 'latin1'), Buffer.from(textOf(vault, counter), 'latin1'))) {
    throw damaged(path);
  }
  if (vault.counter < counter) {
    throw new SecretSourceError('rolled_back', `vault.json is older than it was; ${cure(path)}`);
  }
}

/** For a vault that is not there though it was. */
export function disappeared({ path }: Seen): SecretSourceError {
  return new SecretSourceError('rolled_back', `vault.json has disappeared; ${cure(path)}`);
}

/** After the vault was written. Throws the file system's error. */
export function writeSeen(dir: string, vault: Vault): void {
  writeFileDurable(seenPath(dir), textOf(vault, vault.counter), 0o600);
}

function seenPath(dir: string): string {
  return join(dir, 'vault-seen.json');
}

function textOf({ id, revoked }: Vault, counter: number): string {
  const about = JSON.stringify(['sallyport vault seen', id, counter]);
  const mac = hmac(Buffer.from(revoked.key, 'base64url'), about).toString('base64url');
  return `${JSON.stringify({ version: 1, id, counter, mac })}\n`;
}

function damaged(path: string): SecretSourceError {
  return new SecretSourceError(
    'damaged',
    `${path} was changed by something else than this program; ${cure(path)}`,
  );
}

function cure(path: string): string {
  return `put the newest one back, or, if this is meant, remove ${path}`;
}
