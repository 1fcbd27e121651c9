/**
 * A lock file for short critical sections (read, change, write: milliseconds), shared by processes. It names its holder:
 * one that died leaves its file behind, so a lock is stale when its process of this machine is gone, or when it is older
 * than any honest holder could be.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { errorCode } from './error-code.ts';

/** The longest is a write of the vault with a passphrase, a second; a machine that sleeps is not worth a wrong take-over. */
const STALE_AFTER_MS = 10_000;
const RETRY_EVERY_MS = 5;

export type FileLock = {
  /** Is it still this holder's: if this process slept through the limit it may have been taken over. */
  held(): boolean;
  /** Leaves the file alone where it is another's by now. */
  release(this: void): void;
};

/** One attempt: null where somebody has it. A stale one is taken over. Throws the file system's errors. */
export function tryLock(path: string): FileLock | null {
  const mark = `${process.pid} ${hostname()} ${randomBytes(12).toString('hex')}`;
  if (!take(path, mark) && !(breakIfStale(path) && take(path, mark))) return null;
  const held = (): boolean => readOrNull(path) === mark;
  return {
    held,
    release: () => {
      if (held()) unlinkQuietly(path);
    },
  };
}

/**
 * Takes the lock at `path`, waiting (blocking) up to `waitMs`; returns its release, or null when it stayed
 * taken. `waitMs` 0 tries once: the running proxy never blocks its loop for bookkeeping.
 */
export function holdLock(path: string, waitMs: number): (() => void) | null {
  const deadline = performance.now() + waitMs;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    const lock = tryLock(path);
    if (lock !== null) return lock.release;
    if (performance.now() >= deadline) return null;
    Atomics.wait(pause, 0, 0, RETRY_EVERY_MS);
  }
}

function take(path: string, mark: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'wx', 0o600);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    writeSync(fd, mark);
    return true;
  } catch (error) {
    unlinkQuietly(path);
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** False: it is not stale. True: it may be free now. */
function breakIfStale(path: string): boolean {
  const seen = readOrNull(path);
  if (seen === null) return true;
  if (!isStale(path, seen)) return false;
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(path, aside);
    // Between the look and the rename another waiter may have broken it and taken it afresh: give it back.
    if (readOrNull(aside) !== seen) linkSync(aside, path);
  } catch {
    // Somebody else was quicker with the same; the attempt that follows sees how it stands.
  }
  unlinkQuietly(aside);
  return true;
}

function isStale(path: string, mark: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs > STALE_AFTER_MS) return true;
  } catch {
    return false; // released meanwhile
  }
  const [pid, host] = mark.split(' ');
  // An empty mark belongs to a holder between creating and writing the file, as another machine's: only age can tell.
  return host === hostname() && !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null; // gone: released or taken over by another process
  }
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Already gone, which is what was wanted.
  }
}
