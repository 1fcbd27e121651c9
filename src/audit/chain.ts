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

const NEWLINE = 0x0a;

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

/** Beyond its body a line has its kind, its number, `prev` and the newline: 128 at most; */
const FRAME_BYTES = 160;
/** and a note, of which every character may be escaped. */
const NOTE_BYTES = 16_384;

/** Batches up to this size are formed in one buffer that stays. */
const ROOM_BYTES = 65_536;

/** Forms batches of lines as bytes: each is written once, and hashed where it stands. */
export class LineFormer {
  readonly #hash: HashHex;
  readonly #room = Buffer.allocUnsafeSlow(ROOM_BYTES);

  constructor(hash: HashHex) {
    this.#hash = hash;
  }

  /** The lines and the head after them; `bytes` are good until the next call. `note` goes into the first record. */
  form(
    records: readonly { readonly kind: AuditEvent['kind']; readonly body: string }[],
    after: Head,
    note: string | null,
  ): { readonly bytes: Buffer; readonly head: Head } {
    let most = note === null ? 0 : NOTE_BYTES;
    for (const { body } of records) most += body.length + FRAME_BYTES;
    const bytes = most <= ROOM_BYTES ? this.#room : Buffer.allocUnsafe(most);
    let head = after;
    let end = 0;
    for (const record of records) {
      const line = recordLine(record, head, end === 0 ? note : null);
      const from = end;
      end += bytes.write(line, from, 'latin1');
      if (end - from !== line.length) throw new RangeError('a record is longer than its place');
      head = { seq: head.seq + 1, hash: this.#hash(bytes.subarray(from, end)) };
      bytes[end] = NEWLINE;
      end += 1;
    }
    return { bytes: bytes.subarray(0, end), head };
  }
}
