/**
 * Lockdown kept in the state folder, followed by every process that has it open (`lockdown-read.ts` says how the
 * files read). A lock stands in memory before it is written: a full disk must not keep anybody from locking.
 */
import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { writeFileDurable } from '../base/durable.ts';
import { holdLock } from '../base/file-lock.ts';
import { followFiles } from '../base/watch-file.ts';
import type { Denied } from '../flow/reason.ts';
import {
  Denials,
  EVERYBODY,
  type FoundChange,
  type LetGo,
  type Lock,
  type LockdownStore,
} from './lockdown.ts';
import { JSON_FILE, type LockdownState, readLockdown, TOUCHED_FILE } from './lockdown-read.ts';
import { type LockdownFile, MAX_LOCKS } from './lockdown-schema.ts';

export type LockdownOptions = {
  /** `state.dir` */
  readonly dir: string;
  readonly clock: Clock;
  /** follow the files: for a running proxy */
  readonly watch: boolean;
  /** as `hold` takes them */
  readonly held?: readonly Lock[] | undefined;
};

const LOCK_FILE = 'lockdown.lock';
const WRITE_WAIT_MS = 500;
const NOBODY = { by: 'unknown', reason: '' } as const;

export function openLockdown(opts: LockdownOptions): LockdownStore {
  return new FileLockdown(opts);
}

class FileLockdown implements LockdownStore {
  readonly #opts: LockdownOptions;
  readonly #denials = new Denials();
  readonly #listeners = new Set<(found: readonly FoundChange[]) => void>();
  readonly #stop: () => void;
  #state: LockdownState;
  /** in force though no file holds them */
  #unwritten: readonly Lock[] = [];
  #held: readonly Lock[];
  /** the groups that subscribers know of */
  #face = '';

  constructor(opts: LockdownOptions) {
    this.#opts = opts;
    this.#held = opts.held ?? [];
    this.#state = this.#read();
    this.#settle([]);
    if (!opts.watch) {
      this.#stop = () => {};
      return;
    }
    const files = [JSON_FILE, TOUCHED_FILE].map((name) => join(opts.dir, name));
    this.#stop = followFiles(files, () => {
      this.reload();
      return !this.#state.passing;
    });
  }

  denial(group: string): Denied | null {
    return this.#denials.of(group);
  }

  locks(): readonly Lock[] {
    const { file, touched } = this.#state;
    const all = [...this.#held, ...this.#unwritten, ...(touched === null ? [] : [touched]), ...file.locks];
    const byGroup = new Map(all.map((lock) => [lock.group, lock]));
    return [...byGroup.values()].sort((a, b) => (a.group < b.group ? -1 : 1));
  }

  async lock(asked: Omit<Lock, 'since'>): Promise<boolean> {
    const lock = { ...asked, since: new Date(this.#opts.clock.now()).toISOString() };
    this.reload();
    const { file, broken } = this.#state;
    // A touched file locks as well, but whoever takes it away must not undo this.
    if (!broken && file.locks.some(({ group }) => group === lock.group)) return false;
    this.#unwritten = [...this.#unwritten, lock];
    this.#settle([]);
    this.#write(({ locks, ...rest }) => {
      const room = locks.length < MAX_LOCKS || lock.group === EVERYBODY;
      if (!room) throw new Error(`${MAX_LOCKS} groups are locked by name: lock all`);
      return {
        ...rest,
        locks: [...locks.slice(1 - MAX_LOCKS).filter(({ group }) => group !== lock.group), lock],
      };
    });
    this.#unwritten = this.#unwritten.filter((one) => one !== lock);
    this.reload();
    return true;
  }

  async unlock(group: string, act: Pick<LetGo, 'by' | 'reason'> = NOBODY): Promise<boolean> {
    this.reload();
    if (!this.locks().some((lock) => lock.group === group)) return false;
    const everybody = group === EVERYBODY;
    const at = new Date(this.#opts.clock.now()).toISOString();
    this.#write(({ locks, lifted, let_go: before }) => ({
      locks: locks.filter((lock) => lock.group !== group),
      let_go: [...before.filter((one) => one.group !== group), { group, at, ...act }].slice(-MAX_LOCKS),
      // Whoever follows the files sees from this that the touched one went by our hand, which is recorded already.
      lifted: everybody ? this.#opts.clock.now() : lifted,
    }));
    if (everybody && this.#state.touched !== null) unlinkSync(join(this.#opts.dir, TOUCHED_FILE));
    this.#unwritten = this.#unwritten.filter((lock) => lock.group !== group);
    this.#held = this.#held.filter((lock) => lock.group !== group);
    this.reload();
    return true;
  }

  letGo(): readonly LetGo[] {
    return this.#state.file.let_go;
  }

  hold(locks: readonly Lock[]): void {
    this.#held = locks;
    this.reload();
  }

  unwritten(): readonly Lock[] {
    return this.#unwritten;
  }

  reload(): void {
    const before = this.#state;
    this.#state = this.#read();
    this.#settle(found(before, this.#state));
  }

  subscribe(fn: (found: readonly FoundChange[]) => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  close(): void {
    this.#stop();
    this.#listeners.clear();
  }

  #read(): LockdownState {
    return readLockdown(this.#opts.dir, new Date(this.#opts.clock.now()).toISOString());
  }

  #settle(changes: readonly FoundChange[]): void {
    const locks = this.locks();
    this.#denials.set(locks);
    const face = JSON.stringify(locks.map(({ group }) => group));
    if (face === this.#face && changes.length === 0) return;
    this.#face = face;
    for (const listener of this.#listeners) listener(changes);
  }

  /** What is there is read under the lock; a file that cannot be read is replaced by what is known of it. */
  #write(change: (file: LockdownFile) => LockdownFile): void {
    const { dir } = this.#opts;
    const release = holdLock(join(dir, LOCK_FILE), WRITE_WAIT_MS);
    if (release === null) throw new Error(`another process is writing ${join(dir, JSON_FILE)}; try again`);
    try {
      const text = `${JSON.stringify({ version: 1, ...change(this.#read().file) }, null, 1)}\n`;
      writeFileDurable(join(dir, JSON_FILE), text, 0o600);
    } finally {
      release();
    }
  }
}

/** What people did with the files by hand, and what became of files that cannot be read. */
function found(before: LockdownState, now: LockdownState): FoundChange[] {
  const changes: FoundChange[] = [];
  if (before.touched === null && now.touched !== null) changes.push({ on: true, lock: now.touched });
  if (before.touched !== null && now.touched === null) {
    // A program of ours takes the file away right after it has said so.
    const ours = now.file.lifted > before.file.lifted || now.file.lifted >= Date.parse(before.touched.since);
    if (!ours) changes.push({ on: false, lock: { ...before.touched, reason: 'the file was taken away' } });
  }
  const [lock] = now.file.locks;
  if (!before.broken && now.broken && lock !== undefined) changes.push({ on: true, lock });
  return changes;
}
