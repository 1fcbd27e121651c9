/**
 * `Authorization: Basic` (RFC 7617): git, pip and many SDKs send a key inside base64, where neither a
 * placeholder nor a real key can be seen. Used by `substitute.ts`, which swaps inside and encodes again.
 */

/** One Basic value of a head; `start` and `end` enclose the base64 text. */
export type BasicValue = {
  readonly start: number;
  readonly end: number;
  /** decoded, latin-1: one character per byte */
  readonly text: string;
  /** does encoding `text` give the same characters again; if not, the value must be left alone */
  readonly exact: boolean;
};

const NONE: readonly BasicValue[] = [];
const SCHEME = /^basic[ \t]+/i;
const ANY_BASIC = /\nauthorization:[ \t]*basic[ \t]/i;

/** Finds the Basic values of a head (latin-1, fields as `Name: value` lines that end in CRLF). */
export function findBasic(head: string): readonly BasicValue[] {
  if (!ANY_BASIC.test(head)) return NONE;
  const found: BasicValue[] = [];
  for (let line = head.indexOf('\r\n') + 2; line > 1 && line < head.length; ) {
    const next = head.indexOf('\r\n', line);
    const end = next === -1 ? head.length : next;
    if (startsField(head, line)) {
      const value = decodeBasic(head, line + 'authorization:'.length, end);
      if (value !== null) found.push(value);
    }
    line = end + 2;
  }
  return found;
}

function startsField(head: string, line: number): boolean {
  return head.slice(line, line + 'authorization:'.length).toLowerCase() === 'authorization:';
}

function decodeBasic(head: string, from: number, to: number): BasicValue | null {
  const value = head.slice(from, to);
  const lead = value.length - value.trimStart().length;
  const scheme = SCHEME.exec(value.slice(lead));
  if (scheme === null) return null;
  const start = from + lead + scheme[0].length;
  const encoded = head.slice(start, to).trimEnd();
  const bytes = Buffer.from(encoded, 'base64');
  const text = bytes.toString('latin1');
  return { start, end: start + encoded.length, text, exact: encodeLike(encoded, text) === encoded };
}

/** Encodes `text` (latin-1) with or without padding, as `model` was. */
export function encodeLike(model: string, text: string): string {
  const encoded = Buffer.from(text, 'latin1').toString('base64');
  return model.length % 4 !== 0 && !model.endsWith('=') ? encoded.replace(/=+$/, '') : encoded;
}
