/**
 * What the state folder says of lockdown. Two files: `lockdown.json`, which programs of ours write, and `lockdown`,
 * which anybody who can write there makes with `touch` and takes away with `rm`: while it is there, everybody is
 * locked, and its first line is the reason. Used by `lockdown-file.ts`.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, isPassing } from '../base/error-code.ts';
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
  /** something could not be read that may be readable in a moment, without having changed */
  readonly passing: boolean;
  /** the lock of the touched file */
  readonly touched: Lock | null;
};

const NOTHING: LockdownFile = { locks: [], lifted: 0, let_go: [] };

/** Never throws: what cannot be read is a lock for everybody. `now`: ISO 8601. */
export function readLockdown(dir: string, now: string): LockdownState {
  const found = readTouched(join(dir, TOUCHED_FILE), now);
  const { touched } = found;
  const text = readWhole(join(dir, JSON_FILE), MAX_FILE_BYTES);
  const passing = found.passing || (text.kind === 'unreadable' && text.passing);
  const whole = { broken: false, passing, touched };
  if (text.kind === 'missing' && isFolder(dir)) return { file: NOTHING, ...whole };
  try {
    if (text.kind === 'text' && !text.cut) return { file: parseLockdown(text.text), ...whole };
  } catch {
    // Whatever it says, it is not what a program of ours wrote.
  }
  const reason = `${JSON_FILE} in the state folder cannot be read`;
  return { file: { ...NOTHING, locks: [fileLock(now, reason)] }, broken: true, passing, touched };
}

function readTouched(path: string, now: string): Pick<LockdownState, 'touched' | 'passing'> {
  const found = readWhole(path, MAX_TOUCHED_BYTES);
  if (found.kind === 'missing') return { touched: null, passing: false };
  if (found.kind === 'unreadable') {
    const { passing } = found;
    return { touched: fileLock(now, `the file ${TOUCHED_FILE} cannot be read`), passing };
  }
  const [first = ''] = found.text.split('\n');
  const words = first
    .replaceAll(/[^ -~\u00a1-\ud7ff\ue000-\ufffd]/g, '')
    .slice(0, MAX_REASON_CHARS)
    .trim();
  return { touched: fileLock(found.modified, words), passing: false };
}

function fileLock(since: string, reason: string): Lock {
  return { group: EVERYBODY, since, by: 'file', reason };
}

type Found =
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly passing: boolean }
  | { readonly kind: 'text'; readonly text: string; readonly cut: boolean; readonly modified: string };

function readWhole(path: string, max: number): Found {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { kind: 'missing' };
    return { kind: 'unreadable', passing: isPassing(error) };
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
  } catch (error) {
    // A folder by that name, or a disk that fails.
    return { kind: 'unreadable', passing: isPassing(error) };
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
