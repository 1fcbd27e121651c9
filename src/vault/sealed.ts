/**
 * `vault:NAME`: the built-in vault, one sealed file in the state folder. Opened by `start` (reads, watches)
 * and by the `vault` commands (write). A reader sees a whole state or the one before; a writer holds a lock.
 */
import { followFiles } from '../base/watch-file.ts';
import {
  type PutOutcome,
  putEntries,
  putEntry,
  readValue,
  removeEntry,
  revokedDigests,
  type State,
} from './entries.ts';
import { createKeyMaker } from './master.ts';
import type { VaultEntry, VaultFile } from './schema.ts';
import type { SecretSource } from './source.ts';
import { imaginedState, openStore, type Store } from './store.ts';
import type { Unlock } from './unlock.ts';
import { openUsage } from './usage.ts';

/** One row of `vault list --json`; times in ISO 8601. */
export type VaultRow = {
  readonly name: string;
  readonly created: string;
  /** `null`: still its first value */
  readonly rotated: string | null;
  readonly last_used: string | null;
  /** what it belongs together with, as the parts of one AWS key do */
  readonly group: string | null;
};

export type NewValue = { readonly name: string; readonly value: Buffer; readonly group?: string };
export type PutAll = { readonly stored: boolean; readonly outcomes: readonly PutOutcome[] };

export type Vault = Required<Omit<SecretSource, 'cached' | 'close' | 'learn'>> & {
  readonly kind: 'vault';
  /** Stores a value under a new or an existing name; the value before is remembered as revoked. */
  set(name: string, value: Buffer, more?: { group?: string }): Promise<'created' | 'replaced' | 'unchanged'>;
  /**
   * Stores all or, where one throws, none. Without `overwrite` nothing is stored if a name has another value already;
   * `dry`: nothing is stored, nor made, in any case. What each name came to, or would.
   */
  putAll(values: readonly NewValue[], how: { overwrite: boolean; dry: boolean }): Promise<PutAll>;
  /** Like `set`, but throws `not_found` for a new name. */
  rotate(name: string, value: Buffer): Promise<'replaced' | 'unchanged'>;
  /** Throws `not_found`. */
  rm(name: string): Promise<void>;
  /** A new key file, or what is given instead. */
  rekey(next: Unlock): Promise<void>;
  list(): readonly VaultRow[];
  /** What opens it, as its file says; `null`: there is none yet. Throws only where the file cannot be read. */
  opens(): VaultFile['kdf']['kind'] | null;
};

/**
 * `dir`: the state folder; `unlock`: what there is beside the key file, asked at each use; `files`: where that comes
 * from. Nothing is read or created before the first call. Errors: SecretSourceError.
 */
export function openVault(opts: {
  dir: string;
  unlock?: () => Unlock;
  files?: readonly string[];
  now?: () => number;
}): Vault {
  const now = opts.now ?? Date.now;
  const store = openStore(opts.dir, createKeyMaker(opts.dir, opts.unlock ?? (() => ({}))));
  const usage = openUsage(opts.dir);
  const put = (
    name: string,
    value: Buffer,
    more: { group?: string; mustExist: boolean },
  ): Promise<PutOutcome> =>
    store.change((state) => putEntry(state, { name, value, at: new Date(now()).toISOString(), ...more }));

  return {
    kind: 'vault',
    get: async (name) => readValue(store.read(), name),
    putAll: async (values, { overwrite, dry }) => {
      const at = new Date(now()).toISOString();
      const asks = values.map((one) => ({ ...one, at, mustExist: false }));
      if (dry) return { stored: false, outcomes: putEntries(store.read() ?? imaginedState(), asks).result };
      return store.change((state) => {
        const { content, result: outcomes } = putEntries(state, asks);
        const stored = overwrite || !outcomes.includes('replaced');
        return { content: stored ? content : null, result: { stored, outcomes } };
      });
    },
    set: (name, value, more = {}) => put(name, value, { ...more, mustExist: false }),
    rotate: async (name, value) => {
      const outcome = await put(name, value, { mustExist: true });
      return outcome === 'created' ? 'replaced' : outcome;
    },
    rm: (name) => store.change((state) => removeEntry(state, name)),
    rekey: (next) => store.rekey(next),
    list: () => {
      const used = usage.read();
      return (store.read()?.content.entries ?? []).map((entry) => rowOf(entry, used.get(entry.name)));
    },
    names: async () => (store.read()?.content.entries ?? []).map((entry) => entry.name),
    opens: () => store.opens(),
    // A vault that cannot be opened now takes no value back that was revoked before.
    revoked: async () => revokedDigests(readOr(store)),
    changedAt: (name) => {
      const entry = store.last()?.content.entries.find((one) => one.name === name);
      return entry === undefined ? null : Date.parse(entry.rotated ?? entry.created);
    },
    used: (name, at) => usage.note(name, at),
    watch: (onChange) => followFiles([store.path, ...(opts.files ?? [])], onChange),
  };
}

function readOr(store: Store): State | null {
  try {
    return store.read();
  } catch (error) {
    if (store.last() === null) throw error;
    return store.last();
  }
}

function rowOf(entry: VaultEntry, used: number | undefined): VaultRow {
  return {
    name: entry.name,
    created: entry.created,
    rotated: entry.rotated,
    last_used: used === undefined ? null : new Date(used).toISOString(),
    group: entry.group,
  };
}
