/**
 * `tokens.json` on the disk: reading it whole, and changing it under a lock, because the command line and
 * the running proxy write it both. Used by `token.ts` and `token-merge.ts`.
 */
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { errorCode } from '../base/error-code.ts';
import { holdLock } from '../base/file-lock.ts';
import { parseTokenFile, type StoredToken } from './schema.ts';

/** Ten thousand records are about 3 MB; a larger file is not one of ours. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
/** In the state folder. */
export const TOKENS_FILE = 'tokens.json';
const LOCK = 'tokens.lock';

export type TokenFile =
  | { readonly kind: 'records'; readonly records: readonly StoredToken[] }
  | { readonly kind: 'broken'; readonly message: string };

export class TokenStoreError extends Error {
  override readonly name = 'TokenStoreError';
  readonly code: 'broken' | 'locked' | 'full' | 'bad_argument';

  constructor(code: TokenStoreError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** A missing file holds no tokens. Whatever else stands in the way of reading it is `broken`; never throws. */
export function readTokenFile(dir: string): TokenFile {
  const path = join(dir, TOKENS_FILE);
  try {
    if (statSync(path).size > MAX_FILE_BYTES) return { kind: 'broken', message: `${path}: too large` };
    return { kind: 'records', records: parseTokenFile(readFileSync(path, 'utf8')) };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { kind: 'records', records: [] };
    // JSON.parse quotes the text it fell over; the file holds hashes, which have no place in a log.
    const why =
      error instanceof SyntaxError ? 'not valid JSON' : error instanceof Error ? error.message : 'unreadable';
    return { kind: 'broken', message: `${path}: ${why}` };
  }
}

/**
 * Reads, changes and writes the file under the lock. `change` returns the new records, or null to leave the
 * file alone. `waitMs` is how long to wait for another writer. Throws TokenStoreError (`broken`: the file
 * must be mended by hand first, a change would lose what it holds) and the file system's errors.
 */
export function changeTokenFile(opts: {
  dir: string;
  waitMs: number;
  change: (records: readonly StoredToken[]) => readonly StoredToken[] | null;
}): void {
  const { dir } = opts;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const release = holdLock(join(dir, LOCK), opts.waitMs);
  if (release === null) {
    throw new TokenStoreError('locked', `another process is writing ${join(dir, TOKENS_FILE)}; try again`);
  }
  try {
    const now = readTokenFile(dir);
    if (now.kind === 'broken') throw new TokenStoreError('broken', now.message);
    const next = opts.change(now.records);
    if (next === null) return;
    const text = `${JSON.stringify({ version: 1, tokens: next }, null, 1)}\n`;
    writeFileDurable(join(dir, TOKENS_FILE), text, 0o600);
  } finally {
    release();
  }
}
