/**
 * The written form of the record: one line of ASCII JSON each, chained by `prev`, the SHA-256 of the line
 * before without its newline. `record-text.ts` makes the bodies. Field names and order: contract section 11.
 * Read back by `verify.ts`.
 */
import type { AuditEvent } from './event.ts';
import { quoted } from './record-text.ts';

/** SHA-256 in lower-case hex. */
export type HashHex = (bytes: string | Uint8Array) => string;

/** The last record so far. */
export type Head = {
  /** 0: no record yet */
  readonly seq: number;
  /** hash of its line; GENESIS when there is none */
  readonly hash: string;
};

/** `prev` of an install's first record. */
export const GENESIS = '0'.repeat(64);

export const EMPTY_HEAD: Head = { seq: 0, hash: GENESIS };

/** Longer lines are never written: a reader may refuse them. */
export const MAX_LINE_BYTES = 1_048_576;

/** One whole line without its newline. `note`: what the writer had to do before this record. */
export function recordLine(
  record: { readonly kind: AuditEvent['kind']; readonly body: string },
  after: Head,
  note: string | null,
): string {
  const noted = note === null ? '' : `,"note":${quoted(note)}`;
  return `{"kind":"${record.kind}","seq":${after.seq + 1}${record.body}${noted},"prev":"${after.hash}"}`;
}

/** The lines of a batch and the head after them. `note` goes into the first record. */
export function formBatch(
  records: readonly { readonly kind: AuditEvent['kind']; readonly body: string }[],
  after: Head,
  how: { readonly hash: HashHex; readonly note: string | null },
): { readonly text: string; readonly head: Head } {
  let head = after;
  let text = '';
  let { note } = how;
  for (const record of records) {
    const line = recordLine(record, head, note);
    note = null;
    head = { seq: head.seq + 1, hash: how.hash(line) };
    text += `${line}\n`;
  }
  return { text, head };
}
