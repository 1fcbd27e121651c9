/** One writer at a time for the vault file, across processes; a writer of this process waits without blocking it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type FileLock, tryLock } from '../base/file-lock.ts';
import { SecretSourceError } from './source.ts';

const RETRY_MS = 20;
const WAIT_MS = 5_000;

/** `held`: asked just before the file is replaced. */
export type Lock = Pick<FileLock, 'held'>;

/** Runs `work` under the lock; throws `busy` if it is not free within five seconds. */
export async function withLock<T>(path: string, work: (lock: Lock) => T, waitMs = WAIT_MS): Promise<T> {
  const deadline = performance.now() + waitMs;
  let lock = tryLock(path);
  while (lock === null) {
    if (performance.now() > deadline) {
      throw new SecretSourceError('busy', `another process is writing the vault (${path})`);
    }
    await sleep(RETRY_MS);
    lock = tryLock(path);
  }
  try {
    return work(lock);
  } finally {
    lock.release();
  }
}
