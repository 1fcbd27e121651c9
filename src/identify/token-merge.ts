/**
 * Issued tokens of this machine and those of the others as one, in `tokens.json`: what is new there is added, what is
 * revoked anywhere is revoked here, and nothing that happens elsewhere makes a revoked token good again. Running
 * proxies follow the file. Used by `replicas/tokens.ts`.
 */
import { join } from 'node:path';
import { fileStamp } from '../base/state-file.ts';
import { parseTokenFile, type StoredToken } from './schema.ts';
import { changeTokenFile, readTokenFile, TOKENS_FILE } from './token-file.ts';

/** Who ended a token elsewhere, and when (ISO 8601). */
export type RevokedThere = { readonly at: string; readonly by: string | null };

export type SharedTokens = {
  readonly tokens: readonly StoredToken[];
  /** by the tokens' ids */
  readonly revoked: ReadonlyMap<string, RevokedThere>;
};

export type Merged = {
  /** all that stands in the file then */
  readonly records: readonly StoredToken[];
  /** those that were good here until now */
  readonly ended: readonly StoredToken[];
};

/** As many as the store itself keeps. */
const MAX_TOKENS = 10_000;

export class TokenMerger {
  readonly #dir: string;
  #stamp: string | null = null;
  #records: readonly StoredToken[] = [];

  /** `dir`: `state.dir` */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * Brings `theirs` in. `now`: milliseconds since the epoch. Null when the file is broken: nothing of it is valid, and nothing of
   * it is known. Throws TokenStoreError (`locked`: another process is writing) and the file system's errors.
   */
  merge(theirs: SharedTokens, now: number): Merged | null {
    const before = this.#read();
    if (before === null) return null;
    if (merged(before, theirs, now) === null) return { records: before, ended: [] };
    let result: Merged = { records: before, ended: [] };
    const change = (records: readonly StoredToken[]): readonly StoredToken[] | null => {
      const next = merged(records, theirs, now);
      result = { records: next ?? records, ended: endedBy(records, theirs) };
      return next;
    };
    changeTokenFile({ dir: this.#dir, waitMs: 0, change });
    return result;
  }

  /** Null: broken. Parsed anew only when it has changed. */
  #read(): readonly StoredToken[] | null {
    const stamp = fileStamp(join(this.#dir, TOKENS_FILE));
    if (stamp !== '' && stamp === this.#stamp) return this.#records;
    const file = readTokenFile(this.#dir);
    if (file.kind === 'broken') return null;
    this.#stamp = stamp;
    this.#records = file.records;
    return file.records;
  }
}

/** One record out of what another replica wrote; null: it is none. */
export function parseToken(value: unknown): StoredToken | null {
  try {
    return parseTokenFile(JSON.stringify({ version: 1, tokens: [value] }))[0] ?? null;
  } catch {
    return null;
  }
}

/** Of no use to anybody any more. `now`: milliseconds since the epoch. */
export function isDead({ revoked, expires }: StoredToken, now: number): boolean {
  return revoked !== null || (expires !== null && Date.parse(expires) <= now);
}

function endedBy(records: readonly StoredToken[], theirs: SharedTokens): StoredToken[] {
  return records.filter(({ id, revoked }) => revoked === null && theirs.revoked.has(id));
}

/** null: nothing is new. */
function merged(
  records: readonly StoredToken[],
  theirs: SharedTokens,
  now: number,
): readonly StoredToken[] | null {
  let changed = false;
  const revoke = (record: StoredToken): StoredToken => {
    const there = theirs.revoked.get(record.id);
    if (there === undefined || record.revoked !== null) return record;
    changed = true;
    return { ...record, revoked: there.at, ...(there.by === null ? {} : { revokedBy: there.by }) };
  };
  const known = records.map(revoke);
  const here = new Set(records.map(({ id }) => id));
  // A record is never replaced: who it is for cannot change. One that is revoked is as good as unknown.
  const fresh = theirs.tokens.filter(
    (token) => !here.has(token.id) && !theirs.revoked.has(token.id) && !isDead(token, now),
  );
  const room = withRoom(known, known.length + fresh.length - MAX_TOKENS, now);
  const added = fresh.slice(0, MAX_TOKENS - room.length);
  return changed || added.length > 0 ? [...room, ...added] : null;
}

/** The oldest that are of no use make room, as in the store itself. `needed`: how many. */
function withRoom(records: readonly StoredToken[], needed: number, now: number): readonly StoredToken[] {
  let left = Math.max(0, needed);
  if (left === 0) return records;
  return records.filter((record) => {
    if (left === 0 || !isDead(record, now)) return true;
    left -= 1;
    return false;
  });
}
