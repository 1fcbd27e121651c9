/**
 * Files that must be whole after a crash: issued tokens, the vault, keys. A reader sees the old bytes or
 * the new ones, never a part; what a function here returned from is on the disk. Synchronous, because
 * every caller is a start, a command or a rare administrative write.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errorCode } from './error-code.ts';

/** What file systems without hard links say: some that machines share. */
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/**
 * Replaces `path` in one step: temporary file in the same folder, fsync, rename, fsync of the folder.
 * `mode` is set as given, whatever the umask. Throws the file system's error; the old file then stands.
 */
export function writeFileDurable(path: string, bytes: Uint8Array | string, mode: number): void {
  const temporary = writeTemporary(path, bytes, mode);
  try {
    renameSync(temporary, path);
  } catch (error) {
    unlinkQuietly(temporary);
    throw error;
  }
  syncFolder(dirname(path));
}

/**
 * Creates `path` whole, or leaves what is there: true when it was created, false when it existed already.
 * Two processes that start at once agree on one of their files (a hard link is exclusive, a rename is not).
 */
export function createFileDurable(path: string, bytes: Uint8Array | string, mode: number): boolean {
  const temporary = writeTemporary(path, bytes, mode);
  try {
    linkOrCopy(temporary, path);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkQuietly(temporary);
  }
  syncFolder(dirname(path));
  return true;
}

/** Both refuse a name that is taken; of a copy a crash could leave a part. */
function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (!NO_LINKS.has(errorCode(error))) throw error;
    copyFileSync(from, to, constants.COPYFILE_EXCL);
  }
}

function writeTemporary(path: string, content: Uint8Array | string, mode: number): string {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
  const fd = openSync(temporary, 'wx', mode);
  try {
    fchmodSync(fd, mode);
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(fd, bytes, written, bytes.length - written);
    }
    fsyncSync(fd);
  } catch (error) {
    unlinkQuietly(temporary);
    throw named(error, path);
  } finally {
    closeSync(fd);
  }
  return temporary;
}

/** A full disk is told of by the write, which knows no name of what it writes. */
function named(error: unknown, path: string): unknown {
  if (!(error instanceof Error)) return error;
  return Object.assign(new Error(`${error.message}: ${path}`, { cause: error }), { code: errorCode(error) });
}

/** What was created, renamed or removed in it stays so. */
export function syncFolder(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // A left-over temporary file is litter, not a fault; the error that led here matters more.
  }
}
