/**
 * What the state folder says of lockdown. Two files: `lockdown.json`, which programs of ours write, and `lockdown`,
 * which anybody who can write there makes with `touch` and takes away with `rm`: while it is there, everybody is
 * locked, and its first line is the reason. Used by `lockdown-file.ts`.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode } from '../base/error-code.ts';
import { EVERYBODY, type Lock } from './lockdown.ts';
import { type LockdownFile, MAX_REASON_CHARS, parseLockdown } from './lockdown-schema.ts';

export const JSON_FILE = 'lockdown.json';
export const TOUCHED_FILE = 'lockdown';
/** MAX_LOCKS of the longest entries; a larger file is not one of ours. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_TOUCHED_BYTES = 2_048;

export type LockdownState = {
  readonly file: LockdownFile;
  /** `lockdown.json` cannot be trusted */
  readonly broken: boolean;
  /** the lock of the touched file */
  readonly touched: Lock | null;
};

const NOTHING: LockdownFile = { locks: [], lifted: 0, let_go: [] };

/** Never throws: what cannot be read is a lock for everybody. `now`: ISO 8601. */
export function readLockdown(dir: string, now: string): LockdownState {
  const touched = readTouched(join(dir, TOUCHED_FILE), now);
  const text = readWhole(join(dir, JSON_FILE), MAX_FILE_BYTES);
  if (text.kind === 'missing' && isFolder(dir)) return { file: NOTHING, broken: false, touched };
  try {
    if (text.kind === 'text' && !text.cut) return { file: parseLockdown(text.text), broken: false, touched };
  } catch {
    // Whatever it says, it is not what a program of ours wrote.
  }
  const reason = `${JSON_FILE} in the state folder cannot be read`;
  return { file: { ...NOTHING, locks: [fileLock(now, reason)] }, broken: true, touched };
}

function readTouched(path: string, now: string): Lock | null {
  const found = readWhole(path, MAX_TOUCHED_BYTES);
  if (found.kind === 'missing') return null;
  if (found.kind === 'unreadable') return fileLock(now, `the file ${TOUCHED_FILE} cannot be read`);
  const [first = ''] = found.text.split('\n');
  const words = first
    .replaceAll(/[^ -~\u00a1-\ud7ff\ue000-\ufffd]/g, '')
    .slice(0, MAX_REASON_CHARS)
    .trim();
  return fileLock(found.modified, words);
}

function fileLock(since: string, reason: string): Lock {
  return { group: EVERYBODY, since, by: 'file', reason };
}

type Found =
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable' }
  | { readonly kind: 'text'; readonly text: string; readonly cut: boolean; readonly modified: string };

function readWhole(path: string, max: number): Found {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    const missing = errorCode(error) === 'ENOENT';
    return { kind: missing ? 'missing' : 'unreadable' };
  }
  try {
    const { mtime } = fstatSync(fd);
    const bytes = Buffer.alloc(max + 1);
    let length = 0;
    for (let got = -1; got !== 0 && length < bytes.length; length += got) {
      got = readSync(fd, bytes, length, bytes.length - length, length);
    }
    return {
      kind: 'text',
      text: bytes.toString('utf8', 0, Math.min(length, max)),
      cut: length > max,
      modified: mtime.toISOString(),
    };
  } catch {
    // A folder by that name, or a disk that fails.
    return { kind: 'unreadable' };
  } finally {
    closeSync(fd);
  }
}

function isFolder(dir: string): boolean {
  try {
    return statSync(dir).isDirectory();
  } catch {
    return false;
  }
}
