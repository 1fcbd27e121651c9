/**
 * One writer per audit folder: two chains in one folder would look like tampering. The lock names its
 * holder so that one left by a crash is taken over: at once where the holder's process can be seen to be
 * gone, after a few seconds without a heartbeat where it cannot (another container or host, a shared volume).
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readlinkSync, statSync, unlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { createFileDurable } from '../base/durable.ts';
import { AuditError } from './audit-error.ts';

export type FolderLock = {
  /** its last holder did not give it back */
  readonly stale: boolean;
  /** Says that the holder lives; called about once a second. Throws when the lock was taken away. */
  readonly beat: () => void;
  readonly release: () => void;
};

type Holder = {
  readonly pid: number;
  /** ticks since boot at which the process began: tells a reused pid apart */
  readonly started: string;
  /** boot and pid name space: pids compare only within one */
  readonly space: string;
};

const LOCK_FILE = 'writer.lock';

const MODE = 0o600;
/** A holder that cannot be looked up is taken for dead after so long without a heartbeat. */
const SILENT_MS = 4000;
const LOOK_EVERY_MS = 100;

/**
 * Throws AuditError `AUDIT_LOCKED` when another live process writes to the folder. `silentMs`: how long a
 * holder that cannot be looked up may go without a heartbeat.
 */
export function lockFolder(dir: string, silentMs = SILENT_MS): FolderLock {
  const path = join(dir, LOCK_FILE);
  const me: Holder = { pid: process.pid, started: startOf('self'), space: pidSpace() };
  // An inode number may come again; the nonce tells our lock from every other one.
  const text = `${JSON.stringify({ ...me, nonce: randomBytes(16).toString('hex') })}\n`;
  let stale = false;
  while (!createFileDurable(path, text, MODE)) {
    stale = true;
    const judged = textOf(path);
    if (isHeld(path, silentMs)) {
      throw new AuditError(
        'AUDIT_LOCKED',
        `another process writes the audit trail in ${dir}: is a proxy running with this state folder already?`,
      );
    }
    // Another starter may have taken it over meanwhile; the gap that is left is closed by `beat`.
    if (textOf(path) === judged) removeStale(path);
  }
  return {
    stale,
    beat() {
      if (textOf(path) === null) {
        mkdirSync(dir, { recursive: true, mode: 0o700 });
        createFileDurable(path, text, MODE);
      }
      if (textOf(path) !== text) throw new AuditError('AUDIT_LOCKED', `${path} was taken over`);
      const now = new Date();
      utimesSync(path, now, now);
    },
    release() {
      // Only our own: after a take-over the file belongs to someone else.
      if (textOf(path) === text) unlinkSync(path);
    },
  };
}

/** Is a live process writing to this folder? For readers, which then expect the last line to grow. */
export function folderIsLocked(dir: string): boolean {
  const holder = readHolder(join(dir, LOCK_FILE));
  if (holder === null || holder.started === '' || holder.space !== pidSpace()) return false;
  return startOf(String(holder.pid)) === holder.started;
}

function isHeld(path: string, silentMs: number): boolean {
  const holder = readHolder(path);
  if (holder === null) return beats(path, silentMs);
  if (holder.space !== pidSpace() || holder.started === '') return beats(path, silentMs);
  return startOf(String(holder.pid)) === holder.started;
}

/** Watches the lock's time stamp for as long as a live holder could be silent. Blocks: start-up only. */
function beats(path: string, silentMs: number): boolean {
  const before = mtimeOf(path);
  if (before === null) return false;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; waited < silentMs; waited += LOOK_EVERY_MS) {
    Atomics.wait(pause, 0, 0, LOOK_EVERY_MS);
    const now = mtimeOf(path);
    if (now === null) return false;
    if (now !== before) return true;
  }
  return false;
}

function readHolder(path: string): Holder | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value !== 'object' || value === null) return null;
    const fields = new Map<string, unknown>(Object.entries(value));
    const [pid, started, space] = [fields.get('pid'), fields.get('started'), fields.get('space')];
    if (typeof pid !== 'number' || typeof started !== 'string' || typeof space !== 'string') return null;
    return { pid, started, space };
  } catch {
    // Gone or garbled: nobody can be named, so the heartbeat decides.
    return null;
  }
}

/** Field 22 of /proc/PID/stat; empty: no such process, or no /proc. */
function startOf(pid: string): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command name (field 2) may hold spaces and parentheses: count from its last parenthesis.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    // ENOENT: the process is gone.
    return '';
  }
}

function pidSpace(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    // No /proc: pids cannot be compared, the heartbeat decides.
    return '';
  }
}

function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    // ENOENT: its holder, or another starter, was faster.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

/** null: there is no lock. */
function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

function mtimeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null;
}
