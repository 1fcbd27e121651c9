/**
 * What stands in base64 (RFC 4648 sections 4 and 5) or hex where nothing asks for it: nothing is swapped there, and
 * whoever reads it at the other end may undo it. How bytes may be written so, for `leaks.ts` and `placeholder-index.ts`,
 * and whether a text holds a placeholder's marker in either, whoever's it is. Invariants I5 and I6.
 */
import { ALIGNMENTS, spellBase64 } from './base64.ts';
import { MARKERS } from './placeholder.ts';

/**
 * In base64, behind any number of other bytes and in both alphabets. Characters at the ends that hold bits of the
 * neighbours are left out: what is left stands for all but ten bits of the bytes at most.
 */
export function base64Forms(bytes: Buffer): readonly Buffer[] {
  const forms = ALIGNMENTS.flatMap((alignment) =>
    [false, true].map((urlSafe) => spellBase64(bytes, alignment, urlSafe).codes),
  );
  return forms.filter((form, at) => forms.findIndex((other) => other.equals(form)) === at);
}

/** In hex of either case. */
export function hexForms(bytes: Buffer): readonly Buffer[] {
  const digits = bytes.toString('hex');
  return [Buffer.from(digits, 'latin1'), Buffer.from(digits.toUpperCase(), 'latin1')];
}

const textsOf = (forms: (bytes: Buffer) => readonly Buffer[]): readonly string[] =>
  MARKERS.flatMap((marker) => forms(Buffer.from(marker, 'latin1')).map((form) => form.toString('latin1')));

const IN_BASE64 = textsOf(base64Forms);
const IN_HEX = textsOf(hexForms);

/** Characters of the longest. */
export const CODED_MARKER_CHARS = Math.max(...[...IN_BASE64, ...IN_HEX].map((form) => form.length));

/**
 * Passes that skip through the text: each costs a third of a search of `needles.ts` for the same. Both in one expression
 * take the engine ten times as long.
 */
const BASE64_MARKER = new RegExp(IN_BASE64.join('|'));
const HEX_MARKER = new RegExp(IN_HEX.join('|'));

/** Does the text hold a marker in base64, with any text before it, or in hex. At least ten characters, so 60 bits, agree. */
export function hasCodedMarker(text: string): boolean {
  return BASE64_MARKER.test(text) || HEX_MARKER.test(text);
}
