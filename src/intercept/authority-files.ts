/**
 * The two files of the CA on disk: read with a cap and a look at the key's mode, written once, whole and
 * never over anything. Called by `authority.ts`.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import { createFileDurable } from '../base/durable.ts';
import { errorCode } from '../base/error-code.ts';
import { exposure } from '../base/private-file.ts';
import { AuthorityError } from './authority-error.ts';

/** PEM texts */
export type AuthorityFile = { readonly cert: string; readonly key: string };

/** a chain of certificates with room to spare; anything larger is the wrong file */
const MAX_FILE_BYTES = 256 * 1024;
/** group may read (secrets mounted into containers), nobody but the owner may write, others nothing */
const EXPOSED_BITS = 0o027;

/** The file's text, `undefined` when it does not exist; AuthorityError `unreadable` for all else. */
export function readAuthorityFile(path: string): string | undefined {
  return read(path, () => {});
}

/** As `readAuthorityFile`, but `key_exposed` when the mode lets others at it. */
export function readKeyFile(path: string): string | undefined {
  return read(path, (mode) => {
    // A mounted secret is a link, and the group's: what must not be is another user's hand in it.
    const owner = exposure(path, { forbidden: 0, link: true });
    if (owner !== null)
      throw new AuthorityError('key_exposed', owner, { fix: 'if that user may have read it, make a new CA' });
    if ((mode & EXPOSED_BITS) === 0) return;
    const shown = (mode & 0o777).toString(8).padStart(4, '0');
    throw new AuthorityError(
      'key_exposed',
      `${path} has mode ${shown}: others than its owner can use the key`,
      {
        fix: `run chmod 600 ${path}; if someone may have read it, make a new CA`,
      },
    );
  });
}

/**
 * Writes key and certificate, the key first and 0600 from its first byte. Each appears whole under its
 * name or not at all, and a file that has appeared there meanwhile is left alone: `not_creatable`.
 */
export function createPair(at: { dir: string; cert: string; key: string }, files: AuthorityFile): void {
  try {
    mkdirSync(at.dir, { recursive: true });
    place(at.key, files.key, 0o600);
    place(at.cert, files.cert, 0o644);
  } catch (cause) {
    throw new AuthorityError('not_creatable', `the CA cannot be created in ${at.dir} (${textOf(cause)})`, {
      fix: 'make the folder writable for this user; if another process was creating it at the same time, start again',
      cause,
    });
  }
}

function place(path: string, text: string, mode: number): void {
  if (!createFileDurable(path, text, mode)) throw new Error(`${path} is there already`);
}

function read(path: string, judge: (mode: number) => void): string | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw unreadable(path, new Error('not a regular file'));
    if (stat.size > MAX_FILE_BYTES) throw unreadable(path, new Error(`larger than ${MAX_FILE_BYTES} bytes`));
    judge(stat.mode);
    const bytes = Buffer.alloc(stat.size);
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, stat.size, 0));
  } catch (error) {
    throw error instanceof AuthorityError ? error : unreadable(path, error);
  } finally {
    closeSync(file);
  }
}

function unreadable(path: string, cause: unknown): AuthorityError {
  return new AuthorityError('unreadable', `${path} cannot be read (${textOf(cause)})`, {
    fix: 'it must be a PEM file that this user may read',
    cause,
  });
}

function textOf(error: unknown): string {
  return errorCode(error) || (error instanceof Error ? error.message : String(error));
}
