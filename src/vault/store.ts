/**
 * The vault's file: read whole and judged, changed under a lock, written in one step. A reader sees a whole state or
 * the one before, and never one that is older than what this process, or this installation, has seen. Used by
 * `sealed.ts`.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { errorCode } from '../base/error-code.ts';
import { exposure } from '../base/private-file.ts';
import { fileSignature } from '../base/watch-file.ts';
import { openDocument, parseDocument, printDocument, type VaultContent } from './document.ts';
import { type Change, resealed, type State } from './entries.ts';
import { vaultPath } from './key-file.ts';
import { type Lock, withLock } from './lock.ts';
import type { KeyMaker } from './master.ts';
import type { VaultFile } from './schema.ts';
import { deriveKeys, KEY_BYTES, type VaultKeys } from './seal.ts';
import { checkSeen, disappeared, readSeen, type Seen, writeSeen } from './seen.ts';
import { SecretSourceError } from './source.ts';
import type { Unlock } from './unlock.ts';

const MAX_FILE_BYTES = 67_108_864;

export type Store = {
  readonly path: string;
  /** `null`: there is no vault yet */
  read(): State | null;
  /** what was read last */
  last(): State | null;
  change<T>(work: (state: State) => Change<T>): Promise<T>;
  rekey(next: Unlock): Promise<void>;
  opens(): VaultFile['kdf']['kind'] | null;
};

type Reader = Pick<Store, 'read' | 'last'>;

export function openStore(dir: string, maker: KeyMaker): Store {
  const path = vaultPath(dir);
  const reader = openReader(dir, path, maker);

  const write = (lock: Lock, content: VaultContent, keys: VaultKeys): void => {
    const next = { ...content, counter: content.counter + 1 };
    const text = printDocument(next, keys);
    if (!lock.held()) throw new SecretSourceError('busy', 'the write lock of the vault was taken away');
    writeFileDurable(path, text, 0o600);
    writeSeen(dir, next);
  };

  /** The state to change. What an interrupted rekey left is settled first: it may be the only copy of a key. */
  const begin = (): State => {
    const state = reader.read();
    if (state === null) return newState(maker);
    maker.settle({ id: state.content.id, kdf: state.content.kdf, check: state.keys.check });
    return state;
  };

  const locked = <T>(work: (lock: Lock) => T): Promise<T> => {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return withLock(join(dir, 'vault.lock'), work);
  };

  return {
    ...reader,
    path,
    change: (work) =>
      locked((lock) => {
        const state = begin();
        const { content, result } = work(state);
        if (content !== null) write(lock, content, state.keys);
        return result;
      }),
    rekey: (unlock) =>
      locked((lock) => {
        const state = begin();
        const { kdf, keys, done } = maker.replace(state.content.id, unlock);
        const entries = state.content.entries.map((entry) => resealed(state, entry, keys));
        write(lock, { ...state.content, kdf, entries }, keys);
        done();
      }),
    opens: () => {
      const text = signatureOf(path) === null ? null : readText(path);
      return text === null ? null : parseDocument(text).kdf.kind;
    },
  };
}

function openReader(dir: string, path: string, maker: KeyMaker): Reader {
  let last: { signature: string | null; text: string; state: State } | null = null;

  const judge = (text: string): State => {
    const file = parseDocument(text);
    const keys = maker.keysFor(file);
    const content = openDocument(file, keys);
    const before = last?.state.content;
    if (before !== undefined && before.id === content.id && content.counter < before.counter) {
      throw new SecretSourceError('rolled_back', `${path} is older than what was read before`);
    }
    return { content, keys };
  };

  const missing = (seen: Seen | null): null => {
    if (seen !== null) throw disappeared(seen);
    if (last !== null) throw new SecretSourceError('rolled_back', `${path} has disappeared`);
    return null;
  };

  const read = (): State | null => {
    const signature = signatureOf(path);
    if (last !== null && signature !== null && last.signature === signature) return last.state;
    const seen = readSeen(dir);
    const text = signature === null ? null : readText(path);
    if (text === null) return missing(seen);
    const state = last?.text === text ? last.state : judge(text);
    if (seen !== null) checkSeen(seen, state.content);
    last = { signature, text, state };
    return state;
  };

  return { read, last: () => last?.state ?? null };
}

function newState(maker: KeyMaker): State {
  const id = newId();
  return emptyState(id, maker.keysForNew(id));
}

/** What a vault that is not there would be, for looking ahead. */
export function imaginedState(): State {
  const id = newId();
  return emptyState(id, { kdf: { kind: 'key-file' }, keys: deriveKeys(randomBytes(KEY_BYTES), id) });
}

function newId(): string {
  return randomBytes(16).toString('base64url');
}

function emptyState(id: string, { kdf, keys }: { kdf: VaultFile['kdf']; keys: VaultKeys }): State {
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
    if (errorCode(error) === 'ENOENT') return null;
    throw new SecretSourceError('unreadable', `${path} cannot be read`, { cause: error });
  }
}
