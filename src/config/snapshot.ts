/**
 * The policy in force: one immutable Snapshot, swapped whole by a reload. A reload that fails keeps the old
 * one. Made by `proxy.ts`; stages take the Snapshot of their flow and never look again behind its back, the
 * gate re-decides live flows when a new one comes (invariant I10).
 */
import type { Clock } from '../base/clock.ts';
import type { PolicySet, Problem } from '../policy/model.ts';
import { buildSourceTable, type SourceTable } from '../policy/source-table.ts';
import { loadPolicies } from './load.ts';

export type Snapshot = Readonly<{
  /** `set.hash` + '.' + generation */
  id: string;
  set: PolicySet;
  sources: SourceTable;
  /** milliseconds since the epoch */
  loadedAt: number;
}>;

export type ReloadOutcome =
  | { readonly ok: true; readonly snapshot: Snapshot }
  | { readonly ok: false; readonly problems: readonly Problem[] };

export type SnapshotHolder = {
  /** `null` until the first reload succeeded: everything is refused then */
  current: () => Snapshot | null;
  /** Loads the folder and swaps; unchanged files keep the Snapshot that is in force. */
  reload: () => ReloadOutcome;
  /** Called after every swap. Returns the unsubscribe function. */
  subscribe: (listener: (now: Snapshot, before: Snapshot | null) => void) => () => void;
};

/** Holds the Snapshot of one policies folder. Loads nothing by itself: call `reload()` first. */
export function createSnapshotHolder(dir: string, clock: Clock): SnapshotHolder {
  let current: Snapshot | null = null;
  let generation = 0;
  const listeners = new Set<(now: Snapshot, before: Snapshot | null) => void>();

  const reload = (): ReloadOutcome => {
    const loaded = loadPolicies(dir);
    if (!loaded.ok) return loaded;
    const before = current;
    // The hash covers every byte of every file: the same policy again must not end pools and tunnels.
    if (before !== null && before.set.hash === loaded.set.hash) return { ok: true, snapshot: before };
    generation += 1;
    const snapshot: Snapshot = Object.freeze({
      id: `${loaded.set.hash}.${generation}`,
      set: loaded.set,
      sources: buildSourceTable(loaded.set.groups.values()),
      loadedAt: clock.now(),
    });
    current = snapshot;
    for (const listener of listeners) listener(snapshot, before);
    return { ok: true, snapshot };
  };

  return {
    current: () => current,
    reload,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
  };
}
