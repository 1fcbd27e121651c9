/**
 * A key all in capitals or all in small letters: names of hosts and of HTTP/2 fields are written so, and keys of hex or
 * UUIDs are good in either. As bytes, since a key never becomes a string. Used by `scrub.ts` and `leaks.ts`.
 */

/** Shorter ones are too much like words. */
const MIN_BYTES = 16;
const CASE_BIT = 0x20;

/** What differs from `bytes`; UTF-8 and Latin-1 letters beyond ASCII stay. */
export function inOtherLetters(bytes: Buffer): readonly Buffer[] {
  if (bytes.length < MIN_BYTES) return [];
  const small = Buffer.from(bytes.map((byte) => (byte >= 0x41 && byte <= 0x5a ? byte | CASE_BIT : byte)));
  const capital = Buffer.from(bytes.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte & ~CASE_BIT : byte)));
  return [small, capital].filter((one) => !one.equals(bytes));
}
