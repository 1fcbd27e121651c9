/**
 * One writer at a time for the vault file, across processes: a lock file that names its holder. A holder
 * that died, or that kept the lock far longer than any write takes, is pushed aside.
 */
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  linkSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { SecretSourceError } from './source.ts';

const RETRY_MS = 20;
const WAIT_MS = 5_000;
/** A write takes milliseconds, with a passphrase a second. */
const STALE_MS = 30_000;

export type Lock = {
  /** Is the lock still this holder's; asked just before the file is replaced. */
  held(): boolean;
};

/** Runs `work` under the lock; throws `busy` if it is not free within five seconds. */
export async function withLock<T>(path: string, work: (lock: Lock) => T, waitMs = WAIT_MS): Promise<T> {
  const mine = `${process.pid} ${hostname()} ${randomBytes(12).toString('hex')}\n`;
  const deadline = performance.now() + waitMs;
  while (!take(path, mine)) {
    pushAside(path);
    if (performance.now() > deadline) {
      throw new SecretSourceError('busy', `another process is writing the vault (${path})`);
    }
    await sleep(RETRY_MS);
  }
  try {
    return work({ held: () => read(path) === mine });
  } finally {
    if (read(path) === mine) unlinkSync(path);
  }
}

/** Written whole before it has its name: a lock of somebody who died while writing it would be nobody's. */
function take(path: string, mine: string): boolean {
  if (existsSync(path)) return false;
  const ours = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    writeFileSync(ours, mine, { flag: 'wx', mode: 0o600 });
    linkSync(ours, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(ours, { force: true });
  }
}

/** Moves a dead holder's lock away; gives it back if it turns out that another holder had just come. */
function pushAside(path: string): void {
  const holder = read(path);
  if (holder === null || !isStale(path, holder)) return;
  const aside = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    renameSync(path, aside);
    if (read(aside) !== holder) linkSync(aside, path);
    unlinkSync(aside);
  } catch {
    // Another waiter was quicker, or a new holder is already there: the next attempt will see.
  }
}

function isStale(path: string, holder: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs > STALE_MS) return true;
  } catch {
    // Gone meanwhile: nothing to push aside.
    return false;
  }
  const [pid, host] = holder.split(' ');
  return host === hostname() && !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Not there, or not readable for us: in both cases not ours and nothing to push aside.
    return null;
  }
}
