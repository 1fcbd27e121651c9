/**
 * A token as `token.ts` has it in memory: the record of the file, made ready for being asked at every request, and its latest
 * use, which goes back to the file once a minute. Pure.
 */
import type { StoredToken } from './schema.ts';

export type Entry = {
  readonly record: StoredToken;
  readonly digest: Buffer;
  /** milliseconds since the epoch */
  readonly expiresAt: number;
  /** milliseconds since the epoch; 0: never */
  usedAt: number;
};

/** Records -> entries; what is known of a token's use is carried over, whichever side is newer. */
export function entriesOf(
  records: readonly StoredToken[],
  before: ReadonlyMap<string, Entry>,
): ReadonlyMap<string, Entry> {
  const entries = new Map<string, Entry>();
  for (const record of records) {
    entries.set(record.id, {
      record,
      digest: Buffer.from(record.hash, 'hex'),
      expiresAt: record.expires === null ? Number.POSITIVE_INFINITY : Date.parse(record.expires),
      usedAt: Math.max(usedAtOf(record), before.get(record.id)?.usedAt ?? 0),
    });
  }
  return entries;
}

/** `now`: milliseconds since the epoch */
export function isValid({ record, expiresAt }: Entry, now: number): boolean {
  return record.revoked === null && now < expiresAt;
}

/** All of a record that decides who gets in. */
export function faceOf({ id, group, hash, expires, revoked }: StoredToken): string {
  return `${id} ${group} ${hash} ${expires} ${revoked}`;
}

/** As the file has it; milliseconds since the epoch, 0: never. */
export function usedAtOf(record: StoredToken): number {
  return record.lastUsed === null ? 0 : Date.parse(record.lastUsed);
}

/** A time of use as the file writes it. */
export function isoOrNull(ms: number): string | null {
  return ms === 0 ? null : new Date(ms).toISOString();
}
