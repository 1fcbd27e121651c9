/**
 * A key without the white space around it, as a file or a variable may give it: field values lose it on their way (RFC
 * 9110 section 5.5), and who reads a form or JSON takes it off as a rule. Used by `scrub.ts` and `leaks.ts`.
 */
const WHITE: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0d, 0x0a]);

/** A part of `bytes`, or all of them where less than `least` would be left. */
export function coreOf(bytes: Buffer, least: number): Buffer {
  let from = 0;
  let to = bytes.length;
  while (from < to && WHITE.has(bytes[from])) from += 1;
  while (to > from && WHITE.has(bytes[to - 1])) to -= 1;
  return to - from < least ? bytes : bytes.subarray(from, to);
}
