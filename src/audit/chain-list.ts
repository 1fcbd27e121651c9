/**
 * `chains.json`: which chains stand below an audit folder, signed by the key of their checkpoints, so that `audit
 * verify` misses a folder that was taken away whole. Written by the start, before any worker writes; an installation that
 * has only ever run one process has none.
 */
import { type KeyObject, sign, verify } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import {
  checkpointKeyPath,
  FIRST_CHECKPOINT,
  loadCheckpointKey,
  loadCheckpointPublicKey,
  writeCheckpointSync,
} from './checkpoint.ts';

export const CHAINS_FILE = 'chains.json';
/** The chain of a single process, which stands in the audit folder itself. */
const OWN = '.';
const NAME = /^(?:\.|worker-[1-9]\d{0,3})$/;
const MODE = 0o600;
const FOLDER_MODE = 0o700;

/**
 * Names the chains that are there (`found`) or that this run will write (`own`), folders both, beside those named
 * before. Returns the folders that were named and are gone. Throws the file system's error.
 */
export function nameChains(root: string, own: readonly string[], found: readonly string[]): string[] {
  const key = loadCheckpointPublicKey(checkpointKeyPath(root));
  const before = key === null ? 'missing' : readChainList(root, key);
  const known = typeof before === 'string' ? [] : before;
  const names = [...new Set([...known, ...own.map(nameIn), ...found.map(nameIn)])];
  if (before === 'missing' && names.every((name) => name === OWN)) return [];
  const gone = known.filter((name) => !existsSync(join(root, name)));
  mkdirSync(root, { recursive: true, mode: FOLDER_MODE });
  const signing = loadCheckpointKey(checkpointKeyPath(root));
  for (const name of names) {
    const dir = join(root, name);
    if (existsSync(dir)) continue;
    // So that a chain without a checkpoint is one that was tampered with, from the first moment on.
    mkdirSync(dir, { mode: FOLDER_MODE });
    writeCheckpointSync(dir, FIRST_CHECKPOINT, signing);
  }
  names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const signature = sign(null, signedBytes(names), signing).toString('base64');
  const text = `${JSON.stringify({ version: 1, chains: names, signature })}\n`;
  writeFileDurable(join(root, CHAINS_FILE), text, MODE);
  return gone.map((name) => join(root, name));

  function nameIn(dir: string): string {
    return relative(root, dir) || OWN;
  }
}

/** Names of the chains, `.` for that of the folder itself. `not_signed`: not by this key, or not readable. */
export function readChainList(root: string, key: KeyObject): readonly string[] | 'missing' | 'not_signed' {
  const path = join(root, CHAINS_FILE);
  if (!existsSync(path)) return 'missing';
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    // A half-written or foreign file vouches for nothing.
    return 'not_signed';
  }
  if (typeof value !== 'object' || value === null) return 'not_signed';
  const fields = new Map<string, unknown>(Object.entries(value));
  const names = fields.get('chains');
  const signature = fields.get('signature');
  if (!Array.isArray(names) || typeof signature !== 'string') return 'not_signed';
  const chains = names.filter((name) => typeof name === 'string' && NAME.test(name)).map(String);
  const good = verify(null, signedBytes(chains), key, Buffer.from(signature, 'base64'));
  return good && chains.length === names.length ? chains : 'not_signed';
}

function signedBytes(names: readonly string[]): Buffer {
  return Buffer.from(`sallyport-audit-chains-1\n${names.join('\n')}\n`, 'utf8');
}
