/**
 * Reads a folder of the trail back: `audit verify` walks it all, `audit tail` takes its last lines and
 * follows. Works beside a running writer: the checkpoint is read before the files, so they reach it.
 */
import { hash as cryptoHash, type KeyObject } from 'node:crypto';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { CHECKPOINT_FILE, checkpointKeyPath, loadCheckpointPublicKey, readCheckpoint } from './checkpoint.ts';
import { type AuditFile, listAuditFiles } from './files.ts';
import { CHUNK_BYTES, eachLine, NEWLINE } from './lines.ts';
import { folderIsLocked } from './lock.ts';
import { ChainVerifier, type Finding, type VerifyResult } from './verify.ts';

export type FolderReport = VerifyResult & { readonly files: number };

/**
 * Walks every file of `dir` in the chain's order. `key`: the checkpoint's public key; default: the one
 * beside the folder. Throws the file system's error when the folder cannot be read.
 */
export function verifyFolder(dir: string, key: KeyObject | null = null): FolderReport {
  const trusted = key ?? loadCheckpointPublicKey(checkpointKeyPath(dir));
  const live = folderIsLocked(dir);
  const checkpoint = trusted === null ? 'missing' : readCheckpoint(dir, trusted);
  const files = listAuditFiles(dir);
  const verifier = new ChainVerifier(
    (bytes) => cryptoHash('sha256', bytes, 'hex'),
    typeof checkpoint === 'string' ? null : checkpoint,
  );
  for (const [index, file] of files.entries()) {
    let number = 0;
    const rest = eachLine(file.path, (line) => {
      number += 1;
      verifier.line({ file: file.name, line: number }, line);
    });
    // A live writer may be in the middle of a batch.
    const growing = live && index === files.length - 1;
    if (rest > 0 && !growing) verifier.torn({ file: file.name, line: number + 1 }, rest);
  }
  const result = verifier.finish();
  const fault = anchorFault(checkpoint, trusted, files);
  return { ...result, finding: result.finding ?? fault, files: files.length };
}

/** The last `count` lines of the trail, oldest first, and where the reading stopped. */
export function lastLines(dir: string, count: number): { lines: string[]; at: TailPosition } {
  const files = listAuditFiles(dir);
  let lines: string[] = [];
  for (const file of files.toReversed()) {
    const here: string[] = [];
    eachLine(file.path, (line) => {
      here.push(asText(line));
      if (here.length > 2 * count) here.splice(0, here.length - count);
    });
    lines = [...here.slice(-count), ...lines].slice(-count);
    if (lines.length >= count) break;
  }
  const last = files.at(-1) ?? null;
  return { lines: count === 0 ? [] : lines, at: { name: last?.name ?? null, offset: wholeBytes(last) } };
}

/** A place between two lines of the trail. */
export type TailPosition = { readonly name: string | null; readonly offset: number };

/** The whole lines written since `from`, across files, and the new place. */
export function linesSince(dir: string, from: TailPosition): { lines: string[]; at: TailPosition } {
  const files = listAuditFiles(dir);
  const first = Math.max(
    0,
    files.findIndex((file) => file.name === from.name),
  );
  const lines: string[] = [];
  let at = from;
  for (const file of files.slice(first)) {
    const offset = file.name === from.name ? from.offset : 0;
    const fresh = readFrom(file.path, offset);
    const end = fresh.lastIndexOf(NEWLINE) + 1;
    if (end > 0) lines.push(...asText(fresh.subarray(0, end - 1)).split('\n'));
    at = { name: file.name, offset: offset + end };
    // More of this file than one read holds: the next call goes on here.
    if (fresh.length === CHUNK_BYTES) break;
  }
  return { lines, at };
}

function anchorFault(
  checkpoint: ReturnType<typeof readCheckpoint>,
  key: KeyObject | null,
  files: readonly AuditFile[],
): Finding | null {
  if (typeof checkpoint !== 'string') return null;
  const place = { file: CHECKPOINT_FILE, line: 1, what: 'checkpoint' } as const;
  if (checkpoint === 'not_signed') return { ...place, text: 'not signed by the key of this install' };
  if (files.length === 0) return null;
  const missing = key === null ? 'no key to check it with' : 'missing';
  return { ...place, text: `${missing}: a tail that was cut off could not be seen` };
}

function wholeBytes(file: AuditFile | null): number {
  if (file === null) return 0;
  const rest = eachLine(file.path, () => {});
  return statSync(file.path).size - rest;
}

function readFrom(path: string, offset: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const got = readSync(fd, chunk, 0, chunk.length, offset);
    return chunk.subarray(0, got);
  } finally {
    closeSync(fd);
  }
}

function asText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
