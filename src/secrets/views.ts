/**
 * One stretch of a body read as three texts: as it is, with percent-encoding undone (RFC 3986 section 2.1), and with
 * JSON's escapes undone (RFC 8259 section 7), each character with its place in the source. What is spelt in any of
 * these ways is found by one search of the decoded text. Called by `stream.ts`, which carries over what is cut.
 */
export type Spelling = 'plain' | 'percent' | 'json';

/** A decoded text over a source. Offsets into the source count from the stretch's beginning. */
export type View = {
  readonly spelling: Spelling;
  /** decoded, latin-1 */
  readonly text: string;
  /** source offset of each character, and of what follows the last; `null`: they are the same */
  readonly at: Uint32Array | null;
  /** up to here every offset begins a character */
  readonly plainTo: number;
  /** the escape that begins here is cut off; the source's length where none is */
  readonly incomplete: number;
};

export type DecodeAsk = {
  /** bytes at the beginning that belong to an escape before it */
  readonly skip: number;
  /** characters before the first escape that are wanted */
  readonly reach: number;
  /** nothing follows: what is cut off means itself */
  readonly final: boolean;
};

const BACKSLASH = 0x5c;
const PERCENT = 0x25;
/** RFC 8259 section 7: escapes of two characters. */
const SHORT: Readonly<Record<string, number>> = {
  '"': 34,
  '\\': 92,
  '/': 47,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
};

export function plainView(text: string): View {
  return { spelling: 'plain', text, at: null, plainTo: text.length, incomplete: text.length };
}

/** @returns `null` where nothing is escaped in that spelling */
export function decodedView(spelling: 'percent' | 'json', text: string, ask: DecodeAsk): View | null {
  const first = text.indexOf(spelling === 'percent' ? '%' : '\\', ask.skip);
  if (first === -1) return null;
  const base = Math.max(ask.skip, first - ask.reach);
  const bytes = Buffer.allocUnsafe(text.length - base);
  const at = new Uint32Array(text.length - base + 1);
  const into = { bytes, at, length: 0 };
  const read = spelling === 'percent' ? readPercent : readJson;
  const opening = spelling === 'percent' ? PERCENT : BACKSLASH;
  let from = base;
  while (from < text.length) {
    const code = text.charCodeAt(from);
    if (code !== opening) {
      at[into.length] = from;
      bytes[into.length] = code;
      into.length += 1;
      from += 1;
      continue;
    }
    const next = read(text, from, into);
    if (next === CUT && !ask.final) break;
    if (next <= from) put(into, from, opening);
    from = Math.max(next, from + 1);
  }
  at[into.length] = from;
  return {
    spelling,
    text: bytes.toString('latin1', 0, into.length),
    at: at.subarray(0, into.length + 1),
    plainTo: first,
    incomplete: from,
  };
}

/** The first character of the view that begins at or behind `offset`. */
export function indexAt(view: View, offset: number): number {
  const { at } = view;
  if (at === null) return offset;
  let low = 0;
  let high = at.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((at[middle] ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where in the source the view's character begins. */
export function offsetAt(view: View, index: number): number {
  return view.at === null ? index : (view.at[index] ?? 0);
}

type Into = { readonly bytes: Buffer; readonly at: Uint32Array; length: number };

const CUT = -1;
const NO_ESCAPE = 0;

function put(into: Into, offset: number, code: number): void {
  into.at[into.length] = offset;
  into.bytes[into.length] = code;
  into.length += 1;
}

/** @returns where the escape ends; `CUT` or `NO_ESCAPE` */
function readPercent(text: string, from: number, into: Into): number {
  const code = hexAt(text, from + 1, 2);
  if (code < 0) return code === CUT ? CUT : NO_ESCAPE;
  put(into, from, code);
  return from + 3;
}

function readJson(text: string, from: number, into: Into): number {
  if (from + 1 >= text.length) return CUT;
  const letter = text.charAt(from + 1);
  const short = SHORT[letter];
  if (short !== undefined) {
    put(into, from, short);
    return from + 2;
  }
  if (letter !== 'u') return NO_ESCAPE;
  const code = hexAt(text, from + 2, 4);
  if (code < 0) return code === CUT ? CUT : NO_ESCAPE;
  putUtf8(into, from, code);
  return from + 6;
}

/** Keys are bytes, and JSON speaks of characters: the escape stands for their UTF-8. Halves of pairs match nothing. */
function putUtf8(into: Into, from: number, code: number): void {
  if (code < 0x80) return put(into, from, code);
  const end = from + 6;
  if (code < 0x800) {
    put(into, from, 0xc0 | (code >> 6));
  } else {
    put(into, from, 0xe0 | (code >> 12));
    put(into, end, 0x80 | ((code >> 6) & 0x3f));
  }
  put(into, end, 0x80 | (code & 0x3f));
}

const NOT_HEX = -2;

/** The number, `CUT` where the text ends among its digits, or `NOT_HEX`. */
function hexAt(text: string, from: number, digits: number): number {
  let value = 0;
  for (let at = from; at < from + digits; at += 1) {
    if (at >= text.length) return CUT;
    const digit = hexDigit(text.charCodeAt(at));
    if (digit < 0) return NOT_HEX;
    value = value * 16 + digit;
  }
  return value;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
