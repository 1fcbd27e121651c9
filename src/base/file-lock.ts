/**
 * A lock file for short critical sections (read, change, write: milliseconds), shared by processes of one
 * machine. A holder that died leaves its file behind, so a lock is stale when its process is gone or when it
 * is older than any honest holder could be.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';

/** An honest holder is done in milliseconds; a machine that sleeps in between is not worth a wrong take-over. */
const STALE_AFTER_MS = 10_000;
const RETRY_EVERY_MS = 5;

/**
 * Takes the lock at `path`, waiting (blocking) up to `waitMs`; returns its release, or null when it stayed
 * taken. `waitMs` 0 tries once: the running proxy never blocks its loop for bookkeeping.
 */
export function holdLock(path: string, waitMs: number): (() => void) | null {
  const mark = `${process.pid} ${randomBytes(12).toString('hex')}`;
  const deadline = performance.now() + waitMs;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  while (!tryTake(path, mark)) {
    breakIfStale(path);
    if (performance.now() >= deadline) return tryTake(path, mark) ? () => release(path, mark) : null;
    Atomics.wait(pause, 0, 0, RETRY_EVERY_MS);
  }
  return () => release(path, mark);
}

function tryTake(path: string, mark: string): boolean {
  try {
    writeFileSync(path, mark, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function release(path: string, mark: string): void {
  // Only our own: it may have been taken over if this process slept through the limit.
  if (readOrNull(path) === mark) unlinkQuietly(path);
}

function breakIfStale(path: string): void {
  const seen = readOrNull(path);
  if (seen === null || !isStale(path, seen)) return;
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(path, aside);
    // Between the look and the rename another waiter may have broken it and taken it afresh: give it back.
    if (readOrNull(aside) !== seen) linkSync(aside, path);
  } catch {
    // Somebody else was quicker with the same; the caller tries again and sees how it stands.
  }
  unlinkQuietly(aside);
}

function isStale(path: string, mark: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs > STALE_AFTER_MS) return true;
  } catch {
    return false; // released meanwhile
  }
  const pid = Number(mark.split(' ')[0]);
  // An empty mark belongs to a holder between creating and writing the file: only age can tell.
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return codeOf(error) === 'ESRCH';
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

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
