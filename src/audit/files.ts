/**
 * The files of the trail: `audit-YYYYMMDD-SEQ.jsonl` (UTC day, first record's number). A third part counts
 * files that had to begin at the same number. Sorted by name they are in the chain's order.
 */
import { readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';

export type AuditFile = {
  readonly path: string;
  readonly name: string;
  /** UTC, `YYYYMMDD` */
  readonly day: string;
  readonly firstSeq: number;
  readonly copy: number;
};

const NAME = /^audit-(\d{8})-(\d{1,16})(?:-(\d{1,4}))?\.jsonl$/;
const DAY_MS = 86_400_000;

/** `now`: milliseconds since the epoch. */
export function dayOf(now: number): string {
  return new Date(now).toISOString().slice(0, 10).replaceAll('-', '');
}

export function auditFileName(day: string, firstSeq: number, copy = 0): string {
  const suffix = copy === 0 ? '' : `-${copy}`;
  return `audit-${day}-${String(firstSeq).padStart(12, '0')}${suffix}.jsonl`;
}

/** The files of a folder in the chain's order; other files are not ours. Throws what readdir throws. */
export function listAuditFiles(dir: string): AuditFile[] {
  const found: AuditFile[] = [];
  for (const name of readdirSync(dir)) {
    const parts = NAME.exec(name);
    if (parts === null) continue;
    const [, day = '', seq = '', copy = '0'] = parts;
    found.push({ path: join(dir, name), name, day, firstSeq: Number(seq), copy: Number(copy) });
  }
  return found.sort((a, b) => a.firstSeq - b.firstSeq || a.copy - b.copy || a.day.localeCompare(b.day));
}

/**
 * The files that retention may delete: whole days that ended more than `retainMs` ago, oldest first, never
 * the file that is written to and never one behind a file that must stay.
 */
export function expiredFiles(files: readonly AuditFile[], now: number, retainMs: number): AuditFile[] {
  const limit = dayOf(now - retainMs - DAY_MS);
  const expired: AuditFile[] = [];
  for (const file of files.slice(0, -1)) {
    if (file.day > limit) break;
    expired.push(file);
  }
  return expired;
}

export function deleteFiles(files: readonly AuditFile[]): void {
  for (const file of files) unlinkSync(file.path);
}
