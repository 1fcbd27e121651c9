/**
 * How text may be escaped in what a peer says, one reader for each way: percent-encoding (RFC 3986 section 2.1), JSON
 * strings (RFC 8259 section 7), both done twice, and HTML's character references. Used by `views.ts`.
 */

/** `2`: escaped twice, as in a URL inside of a URL or JSON inside of JSON. */
export type Escaped = 'percent' | 'json' | 'percent2' | 'json2' | 'html';
/** `folded`: base64 whose line ends are left out */
export type Spelling = 'plain' | Escaped | 'folded';

/** The escape is not whole: more text is needed. */
export const CUT = -1;
/** The opening means itself. */
export const NO_ESCAPE = -2;

export type Reader = {
  /** what every escape begins with */
  readonly opening: string;
  /** where the text does not hold this, nothing is spelt so that another reader would not find */
  readonly sign: string;
  /** are characters above ASCII meant, which keys hold as UTF-8, or bytes */
  readonly utf8: boolean;
  /** The escape at `from`, packed by `pack`; or `CUT`, `NO_ESCAPE`. */
  readonly read: (text: string, from: number) => number;
};

/** An escape as a number: what it stands for, and how many characters it has. */
function pack(code: number, length: number): number {
  return (code << LENGTH_BITS) | length;
}

export function codeOf(packed: number): number {
  return packed >> LENGTH_BITS;
}

export function lengthOf(packed: number): number {
  return packed & ((1 << LENGTH_BITS) - 1);
}

const LENGTH_BITS = 6;
const BACKSLASH = 0x5c;
const QUOTE = 0x22;
const SOLIDUS = 0x2f;
const LETTER_U = 0x75;
const SEMICOLON = 0x3b;

/** RFC 8259 section 7: escapes of two characters, by their letter's code. */
const SHORT = new Int16Array(128).fill(NO_ESCAPE);
for (const [letter, char] of Object.entries({
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
})) {
  SHORT[letter.charCodeAt(0)] = char.charCodeAt(0);
}
/** Names of what keys may hold and escaping functions name: HTML section 13.5. */
const NAMED: ReadonlyMap<string, string> = new Map(
  Object.entries({
    amp: '&',
    lt: '<',
    gt: '>',
    quot: '"',
    apos: "'",
    sol: '/',
    plus: '+',
    equals: '=',
    lowbar: '_',
    colon: ':',
  }),
);
const MAX_REFERENCE = 10;

export const READERS: Readonly<Record<Escaped, Reader>> = {
  percent: { opening: '%', sign: '%', utf8: false, read: readPercent },
  percent2: { opening: '%', sign: '%25', utf8: false, read: readPercentAgain },
  json: { opening: '\\', sign: '\\', utf8: true, read: readJson },
  json2: { opening: '\\', sign: '\\\\', utf8: true, read: readJsonAgain },
  html: { opening: '&', sign: '&', utf8: true, read: readReference },
};

function readPercent(text: string, from: number): number {
  const code = hexAt(text, from + 1, 2);
  return code < 0 ? code : pack(code, 3);
}

/** `%2541` is an A, and so is `%41`, for who escapes twice may leave it out once. */
function readPercentAgain(text: string, from: number): number {
  if (!text.startsWith('25', from + 1)) return readPercent(text, from);
  const code = hexAt(text, from + 3, 2);
  return code < 0 ? code : pack(code, 5);
}

function readJson(text: string, from: number): number {
  return readLetter(text, from, from + 1);
}

/** Behind an escaped backslash stands a letter, or one of those that are escaped again themselves. */
function readJsonAgain(text: string, from: number): number {
  if (text.charCodeAt(from + 1) !== BACKSLASH) return readJson(text, from);
  if (text.charCodeAt(from + 2) !== BACKSLASH) return readLetter(text, from, from + 2);
  if (from + 3 >= text.length) return CUT;
  const code = text.charCodeAt(from + 3);
  return code === BACKSLASH || code === QUOTE || code === SOLIDUS ? pack(code, 4) : NO_ESCAPE;
}

function readLetter(text: string, from: number, at: number): number {
  if (at >= text.length) return CUT;
  const letter = text.charCodeAt(at);
  if (letter === LETTER_U) {
    const code = hexAt(text, at + 1, 4);
    return code < 0 ? code : pack(code, at + 5 - from);
  }
  const short = letter < SHORT.length ? (SHORT[letter] ?? NO_ESCAPE) : NO_ESCAPE;
  return short < 0 ? NO_ESCAPE : pack(short, at + 1 - from);
}

function readReference(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && at - from < MAX_REFERENCE && isReferenceChar(text.charCodeAt(at))) at += 1;
  if (at === text.length && at - from < MAX_REFERENCE) return CUT;
  if (text.charCodeAt(at) !== SEMICOLON) return NO_ESCAPE;
  const name = text.slice(from + 1, at);
  const code = name.startsWith('#') ? numberOf(name) : (NAMED.get(name)?.charCodeAt(0) ?? NO_ESCAPE);
  return code < 0 ? NO_ESCAPE : pack(code, at + 1 - from);
}

function isReferenceChar(code: number): boolean {
  const lower = code | 0x20;
  return code === 0x23 || (code >= 0x30 && code <= 0x39) || (lower >= 0x61 && lower <= 0x7a);
}

function numberOf(name: string): number {
  const digits = /^#(?:[xX]([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name);
  if (digits === null) return NO_ESCAPE;
  const [, hex, decimal] = digits;
  const code = hex === undefined ? Number.parseInt(decimal ?? '', 10) : Number.parseInt(hex, 16);
  return code <= 0xffff ? code : NO_ESCAPE;
}

/** The number, `CUT` where the text ends among its digits, or `NO_ESCAPE`. */
function hexAt(text: string, from: number, digits: number): number {
  let value = 0;
  for (let at = from; at < from + digits; at += 1) {
    if (at >= text.length) return CUT;
    const digit = hexDigit(text.charCodeAt(at));
    if (digit < 0) return NO_ESCAPE;
    value = value * 16 + digit;
  }
  return value;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
