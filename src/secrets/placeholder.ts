/**
 * Makes placeholders: what a sandbox holds instead of a key. One looks like its key (prefix, length,
 * alphabet; contract section 4), carries at least 128 random bits, and where there is room a marker, so that
 * one that nobody issued, or that was issued before a key was dropped, is recognised as a placeholder too.
 */
import { wellKnownPrefix } from './key-prefixes.ts';

export type Shape = {
  readonly prefix: string;
  /** characters in all, prefix included */
  readonly length: number;
  /** the characters themselves */
  readonly alphabet: string;
  /** characters that stand still: dashes of a UUID, dots between parts, padding */
  readonly fixed?: readonly FixedChar[];
  /** random bits that it must have; default 128 */
  readonly bits?: number;
};

/** `at` counts from the start of the whole placeholder. */
type FixedChar = { readonly at: number; readonly char: string };

const DIGITS = '0123456789';
const LOWER = 'abcdefghijklmnopqrstuvwxyz';
const UPPER = LOWER.toUpperCase();

/** Characters of each alphabet. None holds one that a URL or a header would write differently. */
export const ALPHABETS = {
  digits: DIGITS,
  hex: `${DIGITS}abcdef`,
  hexUpper: `${DIGITS}ABCDEF`,
  base32: `${UPPER}234567`,
  lower: LOWER + DIGITS,
  upper: UPPER + DIGITS,
  base62: UPPER + LOWER + DIGITS,
  base64url: `${UPPER}${LOWER}${DIGITS}-_`,
} as const;

/** A placeholder must not be guessed: contract section 4. */
const MIN_RANDOM_BITS = 128;

/** Longest shape taken from a value: what is longer (a PEM, a JSON file) gets a placeholder of this length. */
const MAX_LENGTH = 512;

/** What a placeholder carries between prefix and random part; letters that occur together in no word. */
export const MARKER = 'SLYPRTQX';

/** The marker as each alphabet can write it. */
export const MARKERS: readonly string[] = [MARKER, MARKER.toLowerCase(), '5a11b0275a11', '5A11B0275A11'];

// Two patterns with one literal each: the engine skips through the text with these, but not with `a|b`.
const WORD_MARKER = new RegExp(MARKER, 'i');
const HEX_MARKER = /5a11b0275a11/i;
const ANY_MARKER = new RegExp(`${WORD_MARKER.source}|${HEX_MARKER.source}`, 'gi');

/** Does the text hold the marker in any of its forms, in any case. */
export function hasMarker(text: string): boolean {
  return WORD_MARKER.test(text) || HEX_MARKER.test(text);
}

/** Where the markers of a text begin and end. */
export function findMarkers(text: string): readonly { readonly start: number; readonly end: number }[] {
  return Array.from(text.matchAll(ANY_MARKER), (match) => ({
    start: match.index,
    end: match.index + match[0].length,
  }));
}

/** For keys whose value is not known yet. */
export const DEFAULT_SHAPE: Shape = { prefix: '', length: 40, alphabet: ALPHABETS.base62 };

const UUID = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** The shape of a real value. Of the value itself only the public prefix and separators remain. */
export function shapeOf(value: string): Shape {
  const prefix = wellKnownPrefix(value);
  const length = Math.min(value.length, MAX_LENGTH);
  const rest = value.slice(prefix.length, length);
  const fixed = separators(value, prefix.length, length);
  const body = fixed.reduce((text, { char }) => text.replaceAll(char, ''), rest);
  const shape = { prefix, length, alphabet: alphabetOf(body) };
  return fixed.length === 0 ? shape : { ...shape, fixed };
}

/** Only where the form is unmistakable: elsewhere the place of a `-` could be part of the key. */
function separators(value: string, from: number, to: number): readonly FixedChar[] {
  const at = (matches: (char: string, index: number) => boolean): readonly FixedChar[] =>
    Array.from({ length: to - from }, (_, offset) => from + offset)
      .filter((index) => matches(value.charAt(index), index))
      .map((index) => ({ at: index, char: value.charAt(index) }));
  if (UUID.test(value)) return at((char) => char === '-');
  const unpadded = value.replace(/={1,2}$/, '').length;
  const dotted = /^[\w-]+(\.[\w-]+){1,3}$/.test(value);
  return at((char, index) => (dotted && char === '.') || index >= unpadded);
}

function alphabetOf(body: string): string {
  const narrow = [
    [/^[0-9]+$/, ALPHABETS.digits],
    [/^[0-9a-f]+$/, ALPHABETS.hex],
    [/^[0-9A-F]+$/, ALPHABETS.hexUpper],
    [/^[A-Z2-7]+$/, ALPHABETS.base32],
    [/^[0-9a-z]+$/, ALPHABETS.lower],
    [/^[0-9A-Z]+$/, ALPHABETS.upper],
    [/^[0-9A-Za-z]+$/, ALPHABETS.base62],
    [/^[0-9A-Za-z_-]+$/, ALPHABETS.base64url],
  ] as const;
  return narrow.find(([form]) => form.test(body))?.[1] ?? ALPHABETS.base62;
}

/**
 * `seed`: 32 bytes that only this installation can make for this identity and key (an HMAC). The same seed
 * and shape give the same text. The result is longer than the shape where 128 bits do not fit.
 */
export function makePlaceholder(seed: Buffer, shape: Shape): string {
  if (seed.length !== 32) throw new RangeError('seed must be 32 bytes');
  const alphabet = isAlphabet(shape.alphabet) ? shape.alphabet : ALPHABETS.base62;
  const bitsPerChar = Math.log2(alphabet.length);
  const least = Math.ceil((shape.bits ?? MIN_RANDOM_BITS) / bitsPerChar);
  const free = shape.length - shape.prefix.length - (shape.fixed ?? []).length;
  const fits = free >= least;
  const fixed = new Map(fits ? (shape.fixed ?? []).map(({ at, char }) => [at, char]) : []);
  const marker = fits ? markerFor(alphabet, free - least) : '';
  const chars = marker + randomChars(seed, alphabet, (fits ? free : least) - marker.length);
  let text = shape.prefix;
  for (let next = 0; next < chars.length || fixed.has(text.length); ) {
    text += fixed.get(text.length) ?? chars.charAt(next++);
  }
  return text;
}

/** The shape may come from a file: a letter that stands twice would cost random bits. */
function isAlphabet(text: string): boolean {
  return text.length >= 2 && text.length <= 95 && new Set(text).size === text.length;
}

/** The form of the marker that the alphabet can write, if it fits into `room` characters. */
function markerFor(alphabet: string, room: number): string {
  return MARKERS.find((marker) => marker.length <= room && writable(marker, alphabet)) ?? '';
}

function writable(text: string, alphabet: string): boolean {
  return text.split('').every((char) => alphabet.includes(char));
}

/**
 * The seed as a number, written in base `alphabet.length`: up to 256 bits are the seed's own. What is longer
 * goes on with the number changed by a counter, which adds length and no strength. Long division by hand and
 * four characters at a time: a policy reload makes thousands of these, and BigInt takes many times as long.
 */
function randomChars(seed: Buffer, alphabet: string, count: number): string {
  const base = alphabet.length;
  const perFill = Math.floor(256 / Math.log2(base));
  let chars = '';
  for (let fill = 0; chars.length < count; fill += 1) {
    const limbs = limbsOf(seed, fill);
    for (let left = Math.min(perFill, count - chars.length); left > 0; left -= 4) {
      const group = divide(limbs, base ** 4);
      for (let at = 0; at < Math.min(4, left); at += 1) {
        chars += alphabet.charAt(Math.floor(group / base ** at) % base);
      }
    }
  }
  return chars;
}

/** The number in 16-bit parts, most significant first. */
function limbsOf(seed: Buffer, fill: number): Uint16Array {
  const limbs = new Uint16Array(16);
  for (let at = 0; at < 16; at += 1) limbs[at] = seed.readUInt16BE(at * 2) ^ (fill * (0x9e37 + 2 * at));
  return limbs;
}

/** Divides in place and returns the remainder. `by` stays below 2^37, so that nothing is rounded. */
function divide(limbs: Uint16Array, by: number): number {
  let rest = 0;
  for (let at = 0; at < limbs.length; at += 1) {
    const part = rest * 65_536 + (limbs[at] ?? 0);
    const quotient = Math.floor(part / by);
    limbs[at] = quotient;
    rest = part - quotient * by;
  }
  return rest;
}
