/**
 * Issued tokens of this machine and those of the others as one, in `tokens.json`: what is new there is added, what is
 * revoked anywhere is revoked here, and nothing that happens elsewhere makes a revoked token good again. Running
 * proxies follow the file. Used by `replicas.ts`.
 */
import { parseTokenFile, type StoredToken } from './schema.ts';
import { changeTokenFile, readTokenFile } from './token-file.ts';

export type SharedTokens = {
  readonly tokens: readonly StoredToken[];
  /** id to when, ISO 8601 */
  readonly revoked: ReadonlyMap<string, string>;
};

/** As many as the store itself keeps. */
const MAX_TOKENS = 10_000;
/** Among replicas those that ended are remembered, too. */
export const MAX_SHARED_TOKENS = 5 * MAX_TOKENS;

/**
 * Brings `theirs` in. Returns all records then, or null when the file is broken: nothing of it is valid, and nothing of
 * it is known. Throws TokenStoreError (`locked`: another process is writing) and the file system's errors.
 */
export function mergeTokens(dir: string, theirs: SharedTokens): readonly StoredToken[] | null {
  const now = readTokenFile(dir);
  if (now.kind === 'broken') return null;
  if (merged(now.records, theirs) === null) return now.records;
  let all = now.records;
  const change = (records: readonly StoredToken[]): readonly StoredToken[] | null => {
    const next = merged(records, theirs);
    all = next ?? records;
    return next;
  };
  changeTokenFile({ dir, waitMs: 0, change });
  return all;
}

/** One record out of what another replica wrote; null: it is none. */
export function parseToken(value: unknown): StoredToken | null {
  try {
    return parseTokenFile(JSON.stringify({ version: 1, tokens: [value] }))[0] ?? null;
  } catch {
    return null;
  }
}

/** null: nothing is new. */
function merged(records: readonly StoredToken[], theirs: SharedTokens): readonly StoredToken[] | null {
  let changed = false;
  const revoke = (record: StoredToken): StoredToken => {
    const revoked = theirs.revoked.get(record.id);
    if (revoked === undefined || record.revoked !== null) return record;
    changed = true;
    return { ...record, revoked };
  };
  const next = records.map(revoke);
  const here = new Set(records.map(({ id }) => id));
  for (const token of theirs.tokens) {
    // A record is never replaced: who it is for cannot change.
    // One that is revoked is as good as unknown.
    if (here.has(token.id) || theirs.revoked.has(token.id) || next.length >= MAX_TOKENS) continue;
    changed = true;
    next.push(token);
  }
  return changed ? next : null;
}
