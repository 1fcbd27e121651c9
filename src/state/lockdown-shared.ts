/**
 * The lockdown of this machine and that of the others as one. Each group has a version that grows with every lock and
 * unlock; the higher one counts, and of two alike the lock. What was agreed on last is kept in the state folder
 * (`replicas.json`), so that a change made here is told from one made elsewhere, and an emptied Redis lets nobody go.
 * Locks by a touched file, or by one that cannot be read, are this machine's own. Used by `replicas.ts`.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { EVERYBODY, type Lock, type LockdownStore } from './lockdown.ts';
import { JSON_FILE } from './lockdown-read.ts';
import { MAX_SHARED, parseSharedLocks, type SharedLock } from './lockdown-shared-schema.ts';

const FILE = 'replicas.json';
const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** A higher version, or the lock of two alike. Whole, and larger for what counts. */
export function rankOf({ version, on }: Pick<SharedLock, 'version' | 'on'>): number {
  return version * 2 + (on ? 1 : 0);
}

/** Has this machine ever agreed with others on what is locked? */
export function hasShared(dir: string): boolean {
  return existsSync(join(dir, FILE));
}

export class SharedLockdown {
  readonly #store: LockdownStore;
  readonly #dir: string;
  readonly #replica: string;
  #known: ReadonlyMap<string, SharedLock>;
  #unsaved = false;

  /** Throws when what was agreed on cannot be read: without it nobody knows what a lock here means. */
  constructor(opts: { readonly store: LockdownStore; readonly dir: string; readonly replica: string }) {
    this.#replica = opts.replica;
    this.#store = opts.store;
    this.#dir = opts.dir;
    this.#known = new Map(readKnown(join(opts.dir, FILE)).map((one) => [one.group, one]));
  }

  /** What stands here, changes that were made here among it. */
  entries(): readonly SharedLock[] {
    this.#noteOwn();
    return [...this.#known.values()];
  }

  /** Takes over what others have decided since. Returns what was changed here by it. */
  async adopt(theirs: readonly SharedLock[]): Promise<readonly SharedLock[]> {
    this.#noteOwn();
    await this.#lockAgain();
    const changed: SharedLock[] = [];
    for (const one of theirs) {
      const mine = this.#known.get(one.group);
      if (mine !== undefined && rankOf(mine) >= rankOf(one)) continue;
      if (mine === undefined && this.#known.size >= MAX_SHARED) continue;
      if (!(await this.#apply(one))) continue;
      this.#keep([one]);
      changed.push(one);
    }
    // Also where there is nothing: that others were heard is worth knowing at the next start.
    this.#unsaved ||= !hasShared(this.#dir);
    this.#save();
    return changed;
  }

  /** False: it stays locked, as it could not be let go; tried again with the next look. */
  async #apply(one: SharedLock): Promise<boolean> {
    const { group, by, reason } = one;
    try {
      if (one.on) await this.#store.lock({ group, by, reason });
      else if (this.#shared().has(group)) await this.#store.unlock(group, { by, reason });
      return true;
    } catch {
      // A lock is in force though it could not be written.
      return one.on;
    }
  }

  #noteOwn(): void {
    const locks = this.#shared();
    const news: SharedLock[] = [];
    for (const { group, since, by, reason } of locks.values()) {
      const known = this.#known.get(group);
      if (known?.on === true) continue;
      const version = (known?.version ?? 0) + 1;
      news.push({ group, version, on: true, since, by, reason, replica: this.#replica });
    }
    for (const known of this.#known.values()) {
      if (!known.on || locks.has(known.group) || !this.#readable()) continue;
      news.push({ ...known, version: known.version + 1, on: false, ...this.#endOf(known) });
    }
    if (news.length > 0) this.#keep(news);
    this.#save();
  }

  /** By whom a lock was let go here; one whose end nobody has written down ends as it began. */
  #endOf({ group }: SharedLock): Partial<SharedLock> {
    const end = this.#store.letGo().findLast((one) => one.group === group);
    if (end === undefined) return { replica: this.#replica };
    return { replica: this.#replica, since: end.at, by: end.by, reason: end.reason };
  }

  /** The file was taken away: what it held stands again. */
  async #lockAgain(): Promise<void> {
    if (existsSync(join(this.#dir, JSON_FILE))) return;
    const locks = this.#shared();
    for (const known of this.#known.values())
      if (known.on && !locks.has(known.group)) await this.#apply(known);
  }

  /** A file that is gone or damaged lets nobody go: only one that a program of ours wrote does. */
  #readable(): boolean {
    const byFile = this.#store.locks().some(({ group, by }) => group === EVERYBODY && by === 'file');
    return !byFile && existsSync(join(this.#dir, JSON_FILE));
  }

  #shared(): ReadonlyMap<string, Lock> {
    const locks = this.#store.locks().filter(({ by }) => by !== 'file');
    return new Map(locks.map((lock) => [lock.group, lock]));
  }

  #keep(news: readonly SharedLock[]): void {
    this.#known = new Map([...this.#known, ...news.map((one) => [one.group, one] as const)]);
    this.#unsaved = true;
  }

  #save(): void {
    if (!this.#unsaved) return;
    const text = `${JSON.stringify({ version: 1, locks: [...this.#known.values()] }, null, 1)}\n`;
    try {
      writeFileDurable(join(this.#dir, FILE), text, 0o600);
      this.#unsaved = false;
    } catch {
      // A full disk: it stands in memory, and is written with the next look.
    }
  }
}

function readKnown(path: string): readonly SharedLock[] {
  if (!existsSync(path)) return [];
  if (statSync(path).size > MAX_FILE_BYTES) throw new Error(`${path}: too large`);
  try {
    return parseSharedLocks(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new Error(`${path} is damaged; remove it, and lock again what is to be locked`, { cause: error });
  }
}
