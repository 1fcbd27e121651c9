/**
 * The kill switch: which groups are locked, by whom and why. `lockdown-file.ts` keeps it in the state folder; a store
 * that several machines share does the same. The duties of every implementation:
 *
 * - `denial` answers at once, from memory: it is on every request's way.
 * - What it cannot read or reach counts as locked, for everybody: silence is no permission.
 * - `lock` is in force in this process when it returns, whatever becomes of its writing; `unlock` only once it stands
 *   where a restart finds it.
 * - Every process that shares the store follows a change within a second, and tells its subscribers.
 */
import type { LockdownAsk, LockdownDone, LockView } from '../base/control.ts';
import { type Denied, denied } from '../flow/reason.ts';

/** Stands for all groups. */
export const EVERYBODY = '*';

/** `by`: an operator, `cli:USER`, `signal` or `file`; `reason`: for operators, no sandbox is told. */
export type Lock = LockView;

/** The end of a lock by a program of ours. */
export type LetGo = {
  readonly group: string;
  /** ISO 8601 */
  readonly at: string;
  readonly by: string;
  readonly reason: string;
};

/** A change that was found, not made by a program of ours: whoever keeps the record records it. */
export type FoundChange = { readonly on: boolean; readonly lock: Lock };

export type LockdownStore = {
  /** The refusal of this group's requests; null: it is not locked. */
  denial(group: string): Denied | null;
  /** Sorted by group. */
  locks(): readonly Lock[];
  /** False: it stood so already. Rejects when it could not be written; it is in force all the same. */
  lock(lock: Omit<Lock, 'since'>): Promise<boolean>;
  /** False: it was not locked. Rejects when it could not be written; then it stays locked. */
  unlock(group: string, act?: Pick<LetGo, 'by' | 'reason'>): Promise<boolean>;
  /** The last end of each group's lock. */
  letGo(): readonly LetGo[];
  /** Locks that another process holds and could not write: in force here until it says otherwise. */
  hold(locks: readonly Lock[]): void;
  /** Those that this process could not write. */
  unwritten(): readonly Lock[];
  /** Looks again now. */
  reload(): void;
  /** `fn` is told after every change. Returns the unsubscribe. */
  subscribe(fn: (found: readonly FoundChange[]) => void): () => void;
  close(): void;
};

const LOCKED: Denied = denied(
  'locked_down',
  'An operator has stopped this. Nothing is wrong with the request.',
);

/** The refusal of each locked group, from the locks in force. Pure. */
export class Denials {
  #all = false;
  #groups: ReadonlySet<string> = new Set();

  set(locks: Iterable<Lock>): void {
    this.#groups = new Set([...locks].map(({ group }) => group));
    this.#all = this.#groups.has(EVERYBODY);
  }

  of(group: string): Denied | null {
    return this.#all || this.#groups.has(group) ? LOCKED : null;
  }
}

/** Does what is asked, and tells what became of it; never rejects. */
export async function changeLockdown(store: LockdownStore, change: LockdownAsk): Promise<LockdownDone> {
  const { on, group, by, reason } = change;
  try {
    const changed = on ? await store.lock({ group, by, reason }) : await store.unlock(group, { by, reason });
    return { changed, problem: null };
  } catch (error) {
    return { changed: on, problem: error instanceof Error ? error.message : String(error) };
  }
}
