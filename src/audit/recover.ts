/**
 * Start-up: where does the chain go on? Reads the last file's tail, moves what a crash left unfinished to
 * `*.torn`, and compares with the signed checkpoint. Where the checkpoint is ahead of the files, records
 * were taken away: the chain goes on from the checkpoint, so that `audit verify` keeps showing the gap.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename } from 'node:path';
import { EMPTY_HEAD, GENESIS, type HashHex, type Head, MAX_LINE_BYTES } from './chain.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { EndEvent } from './event.ts';
import { type AuditFile, listAuditFiles } from './files.ts';
import { openDecisions } from './open-decisions.ts';
import { type Link, readLink } from './verify.ts';

export type Recovered = {
  readonly head: Head;
  readonly start: Checkpoint['start'];
  /** the file to go on with; null: begin a new one */
  readonly file: (AuditFile & { readonly size: number }) | null;
  /** what the next record must tell */
  readonly notes: readonly string[];
  /** of decisions that a crash left without one */
  readonly missingEnds: readonly EndEvent[];
};

type Tail = { readonly head: Head; readonly size: number };

const MODE = 0o600;
/** Whole lines beyond this much garbage are not looked for: the file is then left and a new one begun. */
const MAX_TAIL_BYTES = 4 * MAX_LINE_BYTES;

/** Reads the folder; moves torn ends aside. `crashed`: the last writer did not end well. Throws what the file system throws. */
export function recover(opts: {
  readonly dir: string;
  readonly checkpoint: Checkpoint | 'missing' | 'not_signed';
  readonly hash: HashHex;
  readonly crashed: boolean;
}): Recovered {
  const { dir, checkpoint, hash } = opts;
  const files = listAuditFiles(dir);
  const notes: string[] = [];
  if (checkpoint === 'not_signed') notes.push('checkpoint.json is not signed by this install');
  if (checkpoint === 'missing' && files.length > 0) notes.push('checkpoint.json is missing');
  const signed = typeof checkpoint === 'string' ? null : checkpoint;
  const found = lastRecord(files, hash, notes);
  const start = signed?.start ?? { seq: 1, prev: GENESIS };
  let head = found?.tail.head ?? EMPTY_HEAD;
  if (signed !== null && signed.head.seq > head.seq) {
    notes.push(`records ${head.seq + 1} to ${signed.head.seq} are missing from the files`);
  }
  if (signed !== null && signed.head.seq >= head.seq) head = signed.head;
  const file = found === null ? null : { ...found.file, size: found.tail.size };
  return { head, start, file, notes, missingEnds: opts.crashed ? missingEnds(dir, notes) : [] };
}

function missingEnds(dir: string, notes: string[]): readonly EndEvent[] {
  const files = listAuditFiles(dir).map((file) => ({ ...file, size: statSync(file.path).size }));
  const { ends, skipped } = openDecisions(files);
  if (ends.length > 0) notes.push(`the process before crashed: ${ends.length} ends that it owed follow`);
  if (skipped > 0) notes.push(`${skipped} more decisions may have no end`);
  return ends;
}

function lastRecord(
  files: readonly AuditFile[],
  hash: HashHex,
  notes: string[],
): { file: AuditFile; tail: Tail } | null {
  for (const file of files.toReversed()) {
    const tail = mendTail(file, hash, notes);
    if (tail !== null) return { file, tail };
  }
  return null;
}

/** The last whole record of a file after what follows it was moved aside; null: the file held none. */
function mendTail(file: AuditFile, hash: HashHex, notes: string[]): Tail | null {
  const fd = openSync(file.path, 'r+');
  try {
    const { size } = fstatSync(fd);
    const from = Math.max(0, size - MAX_TAIL_BYTES);
    const bytes = readFully(fd, from, size - from);
    const last = lastLine(bytes, hash);
    const end = last === null ? 0 : last.end;
    if (last === null && from > 0) {
      notes.push(`${file.name} holds no audit record in its last part`);
      return null;
    }
    if (end < bytes.length) {
      const torn = asideName(file.path);
      writeFileSync(torn, bytes.subarray(end), { flag: 'wx', mode: MODE });
      ftruncateSync(fd, from + end);
      notes.push(`${bytes.length - end} bytes of an unfinished record were moved to ${basename(torn)}`);
    }
    if (last === null) {
      unlinkSync(file.path);
      return null;
    }
    return { head: last.head, size: from + end };
  } finally {
    closeSync(fd);
  }
}

/** The last line that is a record, and where it ends. Lines behind it (zeros after a power cut) do not count. */
function lastLine(bytes: Buffer, hash: HashHex): { head: Head; end: number } | null {
  let end = bytes.lastIndexOf(10);
  while (end !== -1) {
    const begin = end === 0 ? 0 : bytes.lastIndexOf(10, end - 1) + 1;
    const line = bytes.subarray(begin, end);
    const link = readLink(line);
    if (link !== null) return { head: { seq: link.seq, hash: hash(line) }, end: end + 1 };
    if (begin === 0) return null;
    end = begin - 1;
  }
  return null;
}

function readFully(fd: number, from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let got = 0;
  while (got < length) {
    const read = readSync(fd, bytes, got, length - got, from + got);
    if (read === 0) break;
    got += read;
  }
  return bytes.subarray(0, got);
}

function asideName(path: string): string {
  return `${path}.${Date.now()}.torn`;
}

/** Where the chain of one file begins; null: it holds no whole record. */
export function firstLink(path: string): Link | null {
  const fd = openSync(path, 'r');
  try {
    const bytes = readFully(fd, 0, MAX_LINE_BYTES);
    const end = bytes.indexOf(10);
    return end === -1 ? null : readLink(bytes.subarray(0, end));
  } finally {
    closeSync(fd);
  }
}
