/**
 * Issued tokens: shown once, kept as SHA-256, looked up in constant time. The running proxy opens the store
 * with `watch`, so that `token create` and `token revoke` of the command line reach it within a second; the
 * commands open it without. Fails closed: while the file is broken no token is valid.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { followFiles } from '../base/watch-file.ts';
import { type IssueAsk, issueToken, splitToken } from './issue.ts';
import type { StoredToken } from './schema.ts';
import { type Entry, entriesOf, faceOf, isoOrNull, isValid, usedAtOf } from './token-entry.ts';
import { changeTokenFile, readTokenFile, TOKENS_FILE, TokenStoreError } from './token-file.ts';

/** An issued token without its secret: `id` is `tok_…`, times are ISO 8601 in UTC. */
export type TokenRecord = StoredToken;

export type TokenStore = {
  /** `expiresMs`: life time in milliseconds. Throws TokenStoreError and the file system's errors. */
  create(opts: { group: string; name?: string; expiresMs?: number }): { record: TokenRecord; token: string };
  list(): TokenRecord[];
  /** false: no such token. `by`: who, for other replicas. A second one changes nothing. Throws as `create` does. */
  revoke(id: string, by?: string): boolean;
  /** null for anything but a token that is valid now */
  verify(token: string): TokenRecord | null;
  /** hot path: is the token still valid (and still of this group); counts as a use, for live flows alone */
  alive(id: string, group?: string): boolean;
  /** the same question without a use: for everything that asks on nobody's behalf */
  valid(id: string, group?: string): boolean;
  /** reads the file again now (SIGHUP) */
  reload(): void;
  /** called after tokens came, went, or lost their validity by a change of the file; returns the unsubscribe */
  subscribe(fn: () => void): () => void;
  close(): void;
};

export type TokenStoreOptions = {
  /** `state.dir`; made when the first token is */
  readonly dir: string;
  readonly clock: Clock;
  /** follow the file and write times of use back: for the running proxy */
  readonly watch: boolean;
  /** told what is wrong with the file, while which no token is valid; once for each new trouble */
  readonly onProblem?: (message: string) => void;
};

const MAX_TOKENS = 10_000;
const MAX_NAME_CHARS = 128;
const FLUSH_EVERY_MS = 60_000;
const TICK_MS = 1_000;
const WRITE_WAIT_MS = 3000;
/** What an unknown id is compared with, so that it takes as long as a known one. */
const NOBODY = Buffer.alloc(32);

/** Reads the file at once; a broken one is told through `onProblem`, and the store then holds no tokens. */
export function openTokenStore(opts: TokenStoreOptions): TokenStore {
  return new FileTokenStore(opts);
}

class FileTokenStore implements TokenStore {
  readonly #opts: TokenStoreOptions;
  readonly #listeners = new Set<() => void>();
  #entries: ReadonlyMap<string, Entry> = new Map();
  #trouble = '';
  #face = '';
  #flushedAt: number;
  #stop = (): void => {};

  constructor(opts: TokenStoreOptions) {
    this.#opts = opts;
    this.#flushedAt = opts.clock.mono();
    this.#load();
    if (opts.watch) {
      const stop = followFiles([join(opts.dir, TOKENS_FILE)], () => this.reload());
      const timer = setInterval(() => this.#tick(), TICK_MS).unref();
      this.#stop = () => {
        clearInterval(timer);
        stop();
      };
    }
  }

  create(ask: IssueAsk): { record: TokenRecord; token: string } {
    const now = this.#opts.clock.now();
    const { record, token } = issueToken(ask, now);
    this.#change((records) => [...makeRoom(records, now), record]);
    return { record, token };
  }

  list(): TokenRecord[] {
    return [...this.#entries.values()].map(({ record, usedAt }) => ({
      ...record,
      lastUsed: isoOrNull(usedAt),
    }));
  }

  revoke(id: string, by?: string): boolean {
    const who = by === undefined ? {} : { revokedBy: by.slice(0, MAX_NAME_CHARS) };
    const revoked = new Date(this.#opts.clock.now()).toISOString();
    let found = false;
    this.#change((records) => {
      found = records.some((record) => record.id === id);
      if (!found) return null;
      const revoke = (record: TokenRecord): TokenRecord =>
        record.id === id && record.revoked === null ? { ...record, ...who, revoked } : record;
      return records.map(revoke);
    });
    return found;
  }

  verify(token: string): TokenRecord | null {
    const parts = splitToken(token);
    if (parts === null) return null;
    const entry = this.#entries.get(parts.id);
    const same = timingSafeEqual(hash('sha256', parts.secret, 'buffer'), entry?.digest ?? NOBODY);
    return entry !== undefined && same && this.#use(entry) ? entry.record : null;
  }

  alive(id: string, group?: string): boolean {
    const entry = this.#entryOf(id, group);
    return entry !== undefined && this.#use(entry);
  }

  valid(id: string, group?: string): boolean {
    const entry = this.#entryOf(id, group);
    return entry !== undefined && isValid(entry, this.#opts.clock.now());
  }

  reload(): void {
    const before = this.#face;
    this.#load();
    // Times of use are written back each minute: no news to anybody.
    if (this.#face === before) return;
    for (const listener of this.#listeners) listener();
  }

  subscribe(fn: () => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  close(): void {
    this.#stop();
    this.#listeners.clear();
    if (this.#opts.watch) this.#flush(WRITE_WAIT_MS);
  }

  #entryOf(id: string, group: string | undefined): Entry | undefined {
    const entry = this.#entries.get(id);
    return group === undefined || entry?.record.group === group ? entry : undefined;
  }

  /** Valid now? Then this is its latest use: an open flow uses its token. */
  #use(entry: Entry): boolean {
    const now = this.#opts.clock.now();
    if (!isValid(entry, now)) return false;
    entry.usedAt = now;
    return true;
  }

  #load(): void {
    const file = readTokenFile(this.#opts.dir);
    const trouble = file.kind === 'broken' ? file.message : '';
    if (trouble !== '' && trouble !== this.#trouble) this.#opts.onProblem?.(trouble);
    this.#trouble = trouble;
    this.#entries = file.kind === 'broken' ? new Map() : entriesOf(file.records, this.#entries);
    this.#face = [...this.#entries.values()].map(({ record }) => faceOf(record)).join();
  }

  #change(change: (records: readonly TokenRecord[]) => readonly TokenRecord[] | null): void {
    changeTokenFile({ dir: this.#opts.dir, waitMs: WRITE_WAIT_MS, change });
    this.reload();
  }

  #tick(): void {
    // A file that could not be read may be readable again without its stamp having changed.
    if (this.#trouble !== '') this.reload();
    if (this.#opts.clock.mono() - this.#flushedAt >= FLUSH_EVERY_MS) this.#flush(0);
  }

  /**
   * Writes newer times of use into the file's own records: nothing else of ours goes there, so a token that
   * the command line revoked or removed meanwhile stays so.
   */
  #flush(waitMs: number): void {
    this.#flushedAt = this.#opts.clock.mono();
    const entries = this.#entries;
    if (![...entries.values()].some(({ record, usedAt }) => usedAt > usedAtOf(record))) return;
    const change = (records: readonly TokenRecord[]): TokenRecord[] =>
      records.map((record) => {
        const usedAt = entries.get(record.id)?.usedAt ?? 0;
        return usedAt > usedAtOf(record) ? { ...record, lastUsed: isoOrNull(usedAt) } : record;
      });
    try {
      changeTokenFile({ dir: this.#opts.dir, waitMs, change });
      this.#load();
    } catch {
      // Locked, broken or a full disk: a time of last use is no reason to disturb the proxy. The times stay
      // in memory, and the next minute tries again.
    }
  }
}

/** At the cap, the oldest token that is of no use any more makes room; a live one is never dropped. */
function makeRoom(records: readonly TokenRecord[], now: number): readonly TokenRecord[] {
  if (records.length < MAX_TOKENS) return records;
  const dead = records.findIndex(
    (record) => record.revoked !== null || (record.expires !== null && Date.parse(record.expires) <= now),
  );
  if (dead === -1)
    throw new TokenStoreError('full', `there are ${MAX_TOKENS} live tokens; revoke some first`);
  return records.toSpliced(dead, 1);
}
