/** A record that was read back: what `scan.ts` gives, and what reports and proposals ask of it. Pure. */

/** One record as it stands in the file; a field may be missing or of any type. */
export type ReadRecord = Readonly<Record<string, unknown>>;

/** A text field, '' when it is none. */
export function textOf(record: ReadRecord, field: string): string {
  const value = record[field];
  return typeof value === 'string' ? value : '';
}
