/**
 * Every record of a folder, oldest day first, in bounded memory: what reports and proposals are made of. Works beside
 * a running writer. Records of several chains come chain by chain, not merged by time.
 */
import { createReadStream, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { chainFolders } from './chains.ts';
import { listAuditFiles } from './files.ts';
import { eachLine } from './lines.ts';
import { type ReadRecord, textOf } from './read-record.ts';

/** Hears how many bytes of how many are read: at the beginning, as it goes on, and at the end, when both are alike. */
export type Progress = (read: number, total: number) => void;

/** Lines between two words about the progress. */
const TELL_EVERY = 1_000;

/**
 * Calls `use` with each record from `since` (milliseconds since the epoch) on. `holds`: text that a line must hold to
 * be parsed at all. Returns how many lines were no JSON object. Throws the file system's error.
 */
export function eachRecord(
  root: string,
  ask: { readonly since: number; readonly holds?: string; readonly progress?: Progress },
  use: (record: ReadRecord) => void,
): number {
  const from = new Date(ask.since).toISOString();
  const day = from.slice(0, 10).replaceAll('-', '');
  const needle = Buffer.from(ask.holds ?? '');
  const tell = ask.progress ?? (() => {});
  const files = chainFolders(root).flatMap((folder) =>
    listAuditFiles(folder).filter((file) => file.day >= day),
  );
  const total = files.reduce((sum, { path }) => sum + statSync(path).size, 0);
  let read = 0;
  let lines = 0;
  let torn = 0;
  try {
    for (const file of files) {
      eachLine(file.path, (line) => {
        read += line.length + 1;
        lines += 1;
        // The file that is written to grows meanwhile.
        if (lines % TELL_EVERY === 0) tell(Math.min(read, total - 1), total);
        if (!Buffer.from(line.buffer, line.byteOffset, line.byteLength).includes(needle)) return;
        const record = parsed(line);
        if (record === null) torn += 1;
        else if (textOf(record, 'at') >= from) use(record);
      });
    }
  } finally {
    tell(total, total);
  }
  return torn;
}

function parsed(line: Uint8Array): ReadRecord | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

/** Every line from `since` (milliseconds since the epoch) on as it stands in the files, a file at a time, chain by chain. */
export async function* eachRecordLine(root: string, since: number): AsyncGenerator<string> {
  const from = new Date(since).toISOString();
  const day = from.slice(0, 10).replaceAll('-', '');
  for (const folder of chainFolders(root)) {
    for (const file of listAuditFiles(folder)) {
      if (file.day < day) continue;
      const lines = createInterface({
        input: createReadStream(file.path),
        crlfDelay: Number.POSITIVE_INFINITY,
      });
      for await (const line of lines) if (timeOf(line) >= from) yield line;
    }
  }
}

/** What is no record of ours is kept: `audit verify` says what it is. */
function timeOf(line: string): string {
  return /"at":"([^"]{24})"/.exec(line)?.[1] ?? '9';
}
