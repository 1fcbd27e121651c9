/**
 * `vault:NAME`: the built-in vault, one sealed file in the state folder. Opened by `start` (reads, watches)
 * and by the `vault` commands (write). A reader sees a whole state or the one before; a writer holds a lock.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { exposure } from '../base/private-file.ts';
import { fileSignature, watchFiles } from '../base/watch-file.ts';
import { openDocument, parseDocument, printDocument, type VaultContent } from './document.ts';
import {
  type Change,
  type PutOutcome,
  putEntry,
  readValue,
  removeEntry,
  resealed,
  revokedDigests,
  type State,
} from './entries.ts';
import { vaultPath } from './key-file.ts';
import { type Lock, withLock } from './lock.ts';
import { createKeyMaker, type KeyMaker } from './master.ts';
import type { VaultEntry } from './schema.ts';
import { KEY_BYTES, type VaultKeys } from './seal.ts';
import { type SecretSource, SecretSourceError } from './source.ts';
import { openUsage } from './usage.ts';

const MAX_FILE_BYTES = 67_108_864;

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

export type Vault = Required<Omit<SecretSource, 'cached' | 'close'>> & {
  readonly kind: 'vault';
  /** Stores a value under a new or an existing name; the value before is remembered as revoked. */
  set(name: string, value: Buffer, more?: { group?: string }): Promise<'created' | 'replaced' | 'unchanged'>;
  /** Like `set`, but throws `not_found` for a new name. */
  rotate(name: string, value: Buffer): Promise<'replaced' | 'unchanged'>;
  /** Throws `not_found`. */
  rm(name: string): Promise<void>;
  /** A new key file, or with a passphrase that instead. */
  rekey(next: { passphrase?: string }): Promise<void>;
  list(): readonly VaultRow[];
};

/** `dir`: the state folder. Nothing is read or created before the first call. Errors: SecretSourceError. */
export function openVault(opts: { dir: string; passphrase?: string; now?: () => number }): Vault {
  const now = opts.now ?? Date.now;
  const store = openStore(opts.dir, createKeyMaker(opts.dir, opts.passphrase));
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
    set: (name, value, more = {}) => put(name, value, { ...more, mustExist: false }),
    rotate: async (name, value) => {
      const outcome = await put(name, value, { mustExist: true });
      return outcome === 'created' ? 'replaced' : outcome;
    },
    rm: (name) => store.change((state) => removeEntry(state, name)),
    rekey: ({ passphrase }) => store.rekey(passphrase),
    list: () => {
      const used = usage.read();
      return (store.read()?.content.entries ?? []).map((entry) => rowOf(entry, used.get(entry.name)));
    },
    names: async () => (store.read()?.content.entries ?? []).map((entry) => entry.name),
    revoked: async () => revokedDigests(store.read()),
    changedAt: (name) => {
      const entry = store.last()?.content.entries.find((one) => one.name === name);
      return entry === undefined ? null : Date.parse(entry.rotated ?? entry.created);
    },
    used: (name, at) => usage.note(name, at),
    watch: (onChange) => {
      const watch = watchFiles(onChange);
      watch.add(store.path);
      return () => watch.stop();
    },
  };
}

type Store = {
  readonly path: string;
  /** `null`: there is no vault yet */
  read(): State | null;
  /** what was read last */
  last(): State | null;
  change<T>(work: (state: State) => Change<T>): Promise<T>;
  rekey(passphrase: string | undefined): Promise<void>;
};

function openStore(dir: string, maker: KeyMaker): Store {
  const path = vaultPath(dir);
  let last: { signature: string | null; text: string; state: State } | null = null;

  const read = (): State | null => {
    const signature = signatureOf(path);
    if (last !== null && signature !== null && last.signature === signature) return last.state;
    const text = signature === null ? null : readText(path);
    if (text === null) {
      if (last !== null) throw new SecretSourceError('rolled_back', `${path} has disappeared`);
      return null;
    }
    if (last?.text === text) {
      last = { ...last, signature };
      return last.state;
    }
    const file = parseDocument(text);
    const keys = maker.keysFor(file);
    const content = openDocument(file, keys);
    const before = last?.state.content;
    if (before !== undefined && before.id === content.id && content.counter < before.counter) {
      throw new SecretSourceError('rolled_back', `${path} is older than what was read before`);
    }
    last = { signature, text, state: { content, keys } };
    return last.state;
  };

  const write = (lock: Lock, content: VaultContent, keys: VaultKeys): void => {
    const text = printDocument({ ...content, counter: content.counter + 1 }, keys);
    if (!lock.held()) throw new SecretSourceError('busy', 'the write lock of the vault was taken away');
    writeFileDurable(path, text, 0o600);
  };

  const locked = <T>(work: (lock: Lock) => T): Promise<T> => {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return withLock(join(dir, 'vault.lock'), work);
  };

  return {
    path,
    read,
    last: () => last?.state ?? null,
    change: (work) =>
      locked((lock) => {
        const state = read() ?? newState(maker);
        const { content, result } = work(state);
        if (content !== null) write(lock, content, state.keys);
        return result;
      }),
    rekey: (passphrase) =>
      locked((lock) => {
        const state = read() ?? newState(maker);
        const { kdf, keys, done } = maker.replace(state.content.id, passphrase);
        const entries = state.content.entries.map((entry) => resealed(state, entry, keys));
        write(lock, { ...state.content, kdf, entries }, keys);
        done();
      }),
  };
}

function newState(maker: KeyMaker): State {
  const id = randomBytes(16).toString('base64url');
  const { kdf, keys } = maker.keysForNew(id);
  const revoked = { key: randomBytes(KEY_BYTES).toString('base64url'), values: [] };
  return { content: { id, kdf, counter: 0, entries: [], revoked }, keys };
}

/** `null`: no file. Throws `insecure_permissions`, `too_large` and `unreadable`. */
function signatureOf(path: string): string | null {
  const exposed = unlessMissing(path, () => exposure(path));
  if (exposed !== null) throw new SecretSourceError('insecure_permissions', exposed);
  const found = unlessMissing(path, () => statSync(path, { bigint: true }));
  if (found === null) return null;
  if (found.size > MAX_FILE_BYTES) {
    throw new SecretSourceError('too_large', `${path} is larger than ${MAX_FILE_BYTES} bytes`);
  }
  return fileSignature(found, Date.now());
}

/** Latin-1, so that every byte counts: UTF-8 decoding would map all broken bytes to one character. */
function readText(path: string): string | null {
  return unlessMissing(path, () => readFileSync(path, 'latin1'));
}

function unlessMissing<T>(path: string, work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw new SecretSourceError('unreadable', `${path} cannot be read`, { cause: error });
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
