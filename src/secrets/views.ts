/**
 * One stretch of a body read as three texts: as it is, with percent-encoding undone (RFC 3986 section 2.1), and with
 * JSON's escapes undone (RFC 8259 section 7), each character with its place in the source. What is spelt in any of
 * these ways is found by one search of the decoded text. Called by `stream.ts`, which carries over what is cut.
 */
export type Spelling = 'plain' | 'percent' | 'json';

/** A decoded text over a source. Offsets into the source count from the stretch's beginning. */
export type View = {
  readonly spelling: Spelling;
  /** decoded, latin-1; empty where no escape stands for a character that is looked for */
  readonly text: string;
  /** offset of the first character */
  readonly base: number;
  /** null: source and text are the same */
  readonly breaks: Breaks | null;
  /** the escape that begins here is cut off; the source's length where none is */
  readonly incomplete: number;
};

/** Where source and text drift apart: one entry for each escape. */
type Breaks = {
  /** source offsets */
  readonly from: number[];
  readonly to: number[];
  /** of the first character that the escape stands for */
  readonly index: number[];
  /** how many characters it stands for */
  readonly count: number[];
};

export type DecodeAsk = {
  /** bytes at the beginning that belong to an escape before it */
  readonly skip: number;
  /** by code: is the character looked for; null: all of the text is wanted */
  readonly wanted: Uint8Array | null;
  /** nothing follows: what is cut off means itself */
  readonly final: boolean;
};

/** RFC 8259 section 7: escapes of two characters. */
const SHORT: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

export function plainView(text: string): View {
  return { spelling: 'plain', text, base: 0, breaks: null, incomplete: text.length };
}

/** @returns `null` where nothing is escaped in that spelling */
export function decodedView(spelling: 'percent' | 'json', text: string, ask: DecodeAsk): View | null {
  const opening = spelling === 'percent' ? '%' : '\\';
  const read = spelling === 'percent' ? readPercent : readJson;
  let at = text.indexOf(opening, ask.skip);
  if (at === -1) return null;
  const breaks: Breaks = { from: [], to: [], index: [], count: [] };
  let decoded = '';
  let done = ask.skip;
  let incomplete = text.length;
  let isWanted = ask.wanted === null;
  while (at !== -1) {
    const next = read(text, at);
    if (next === CUT && !ask.final) {
      incomplete = at;
      // It may yet be one that is looked for.
      isWanted = true;
      break;
    }
    if (typeof next === 'number') {
      at = text.indexOf(opening, at + 1);
      continue;
    }
    const { to, chars } = next;
    isWanted ||= ask.wanted?.[chars.charCodeAt(0)] === 1;
    decoded += text.slice(done, at);
    breaks.from.push(at);
    breaks.to.push(to);
    breaks.index.push(decoded.length);
    breaks.count.push(chars.length);
    decoded += chars;
    done = to;
    at = text.indexOf(opening, to);
  }
  decoded += text.slice(done, incomplete);
  return { spelling, text: isWanted ? decoded : '', base: ask.skip, breaks, incomplete };
}

/** The first character of the view that begins at or behind `offset`. */
export function indexAt(view: View, offset: number): number {
  const { breaks, base, text } = view;
  if (breaks === null) return offset;
  return Math.min(text.length, decodedIndex(breaks, base, offset));
}

/** The first offset at or behind `offset` that is not inside of an escape. */
export function boundaryAt(view: View, offset: number): number {
  const { breaks, base } = view;
  if (breaks === null) return offset;
  const last = lastBelow(breaks.from, offset);
  return Math.max(base, offset, last === -1 ? 0 : (breaks.to[last] ?? 0));
}

/** Where in the source the view's character begins. */
export function offsetAt(view: View, index: number): number {
  const { breaks, base } = view;
  if (breaks === null) return index;
  const last = lastBelow(breaks.index, index + 1);
  if (last === -1) return base + index;
  const within = index - (breaks.index[last] ?? 0);
  if (within === 0) return breaks.from[last] ?? 0;
  // Those behind the first of an escape stand at its end.
  return (breaks.to[last] ?? 0) + Math.max(0, within - (breaks.count[last] ?? 0));
}

function decodedIndex(breaks: Breaks, base: number, offset: number): number {
  const last = lastBelow(breaks.from, offset);
  if (last === -1) return Math.max(0, offset - base);
  const to = breaks.to[last] ?? 0;
  const index = breaks.index[last] ?? 0;
  return offset <= to ? index + 1 : index + (breaks.count[last] ?? 0) + offset - to;
}

/** Position of the last of the rising numbers that is below `limit`; -1: none is. */
function lastBelow(numbers: readonly number[], limit: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] ?? 0) < limit) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** What an escape stands for and where it ends. */
type Escape = { readonly to: number; readonly chars: string };

const CUT = -1;
const NO_ESCAPE = -2;

function readPercent(text: string, from: number): Escape | typeof CUT | typeof NO_ESCAPE {
  const code = hexAt(text, from + 1, 2);
  if (code < 0) return code === CUT ? CUT : NO_ESCAPE;
  return { to: from + 3, chars: String.fromCharCode(code) };
}

function readJson(text: string, from: number): Escape | typeof CUT | typeof NO_ESCAPE {
  if (from + 1 >= text.length) return CUT;
  const letter = text.charAt(from + 1);
  const short = SHORT[letter];
  if (short !== undefined) return { to: from + 2, chars: short };
  if (letter !== 'u') return NO_ESCAPE;
  const code = hexAt(text, from + 2, 4);
  if (code < 0) return code === CUT ? CUT : NO_ESCAPE;
  return { to: from + 6, chars: utf8(code) };
}

/** Keys are bytes, and JSON speaks of characters: the escape stands for their UTF-8. Halves of pairs match nothing. */
function utf8(code: number): string {
  if (code < 0x80) return String.fromCharCode(code);
  const last = 0x80 | (code & 0x3f);
  if (code < 0x800) return String.fromCharCode(0xc0 | (code >> 6), last);
  return String.fromCharCode(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), last);
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
