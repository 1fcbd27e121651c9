/**
 * `checkpoint.json`: how far the chain had come, signed, so that a tail that was cut off or written anew is
 * seen. Written about once a second by `writer.ts`, and only for records that are on the disk; read by
 * `audit verify`. The key (Ed25519) stands beside the folder, not in it: a copy of the folder cannot be
 * forged with what is in it. Whoever may write as the proxy's user can forge both: ship the heads elsewhere.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileDurable, writeFileDurable } from '../base/durable.ts';
import { EMPTY_HEAD, GENESIS, type Head } from './chain.ts';
import type { Anchor } from './verify.ts';

export type Checkpoint = Anchor;

export const CHECKPOINT_FILE = 'checkpoint.json';

/** Where the trail of an install that has written nothing stands. */
export const FIRST_CHECKPOINT: Checkpoint = { head: EMPTY_HEAD, start: { seq: 1, prev: GENESIS } };

const MODE = 0o600;
const HASH = /^[0-9a-f]{64}$/;

/** The signing key that belongs to an audit folder: `audit.key` beside `audit/`. */
export function checkpointKeyPath(dir: string): string {
  return `${dir}.key`;
}

/** Reads the signing key, made on first use (0600). Throws when it is there but cannot be read. */
export function loadCheckpointKey(path: string): KeyObject {
  const made = readIfThere(path);
  if (made !== null) return createPrivateKey(made);
  const { privateKey } = generateKeyPairSync('ed25519');
  createFileDurable(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), MODE);
  return createPrivateKey(readFileSync(path));
}

/** The public half, from a private or a public PEM file; null when there is no such file. */
export function loadCheckpointPublicKey(path: string): KeyObject | null {
  const pem = readIfThere(path);
  return pem === null ? null : createPublicKey(pem);
}

/** `not_signed`: not signed by this key, or not readable as a checkpoint. */
export function readCheckpoint(dir: string, key: KeyObject): Checkpoint | 'missing' | 'not_signed' {
  const text = readIfThere(join(dir, CHECKPOINT_FILE));
  return text === null ? 'missing' : parseCheckpoint(text.toString('utf8'), key);
}

export function writeCheckpointSync(dir: string, checkpoint: Checkpoint, key: KeyObject): void {
  writeFileDurable(join(dir, CHECKPOINT_FILE), checkpointText(checkpoint, key), MODE);
}

/** The same without holding up the event loop. Never two at once for one folder. */
export async function writeCheckpoint(dir: string, checkpoint: Checkpoint, key: KeyObject): Promise<void> {
  const path = join(dir, CHECKPOINT_FILE);
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w', MODE);
  try {
    await file.writeFile(checkpointText(checkpoint, key));
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

function checkpointText(checkpoint: Checkpoint, key: KeyObject): string {
  const { head, start } = checkpoint;
  const signature = sign(null, signedBytes(checkpoint), key).toString('base64');
  const body = { version: 1, seq: head.seq, hash: head.hash, start_seq: start.seq, start_prev: start.prev };
  return `${JSON.stringify({ ...body, signature })}\n`;
}

function parseCheckpoint(text: string, key: KeyObject): Checkpoint | 'not_signed' {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // A half-written or foreign file vouches for nothing, whatever its shape.
    return 'not_signed';
  }
  if (typeof value !== 'object' || value === null) return 'not_signed';
  const fields = new Map<string, unknown>(Object.entries(value));
  const head = headFrom(fields.get('seq'), fields.get('hash'));
  const start = headFrom(fields.get('start_seq'), fields.get('start_prev'));
  const signature = fields.get('signature');
  if (head === null || start === null || typeof signature !== 'string') return 'not_signed';
  const checkpoint: Checkpoint = { head, start: { seq: start.seq, prev: start.hash } };
  const good = verify(null, signedBytes(checkpoint), key, Buffer.from(signature, 'base64'));
  return good ? checkpoint : 'not_signed';
}

function headFrom(seq: unknown, hash: unknown): Head | null {
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 0) return null;
  return typeof hash === 'string' && HASH.test(hash) ? { seq, hash } : null;
}

function signedBytes({ head, start }: Checkpoint): Buffer {
  return Buffer.from(`sallyport-audit-1\n${head.seq}\n${head.hash}\n${start.seq}\n${start.prev}\n`, 'utf8');
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
