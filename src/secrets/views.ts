/**
 * One stretch of a body read as several texts: as it is, and with one way of escaping undone in each, every character
 * with its place in the source. What is spelt in any of these ways is found by one search of the decoded text. Called
 * by `stream.ts`, which carries over what is cut.
 */
import { CUT, codeOf, type Escaped, lengthOf, READERS, type Reader, type Spelling } from './spellings.ts';

/** A decoded text over a source. Offsets into the source count from the stretch's beginning. */
export type View = {
  readonly spelling: Spelling;
  /** decoded, latin-1 */
  readonly text: string;
  /** offset of the first character */
  readonly base: number;
  /** null: source and text are the same */
  readonly breaks: Breaks | null;
  /** the escape that begins here is cut off; the source's length where none is */
  readonly incomplete: number;
};

/** Where source and text drift apart: one entry for each escape. */
export type Breaks = {
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
  /** without its sign the text is read otherwise all the same: what was cut before it is another escape here */
  readonly differs?: boolean;
};

export function plainView(text: string): View {
  return { spelling: 'plain', text, base: 0, breaks: null, incomplete: text.length };
}

/** @returns `null` where nothing is escaped in that spelling that is looked for */
export function decodedView(spelling: Escaped, text: string, ask: DecodeAsk): View | null {
  const reader = READERS[spelling];
  const isAlone = ask.differs === true || text.includes(reader.sign);
  if (!isAlone || !isWanted(text, reader, ask)) return null;
  const { opening, read, utf8 } = reader;
  const breaks: Breaks = { from: [], to: [], index: [], count: [] };
  // No escape stands for more bytes than it has.
  const decoded = Buffer.allocUnsafe(text.length);
  let length = 0;
  let done = ask.skip;
  let incomplete = text.length;
  let at = text.indexOf(opening, done);
  while (at !== -1) {
    const found = read(text, at);
    if (found === CUT && !ask.final) {
      incomplete = at;
      break;
    }
    if (found >= 0) {
      length += copy(text, { from: done, to: at }, decoded, length);
      const count = write(codeOf(found), utf8, decoded, length);
      done = at + lengthOf(found);
      breaks.from.push(at);
      breaks.to.push(done);
      breaks.index.push(length);
      breaks.count.push(count);
      length += count;
    }
    at = text.indexOf(opening, Math.max(done, at + 1));
  }
  length += copy(text, { from: done, to: incomplete }, decoded, length);
  return { spelling, text: decoded.toString('latin1', 0, length), base: ask.skip, breaks, incomplete };
}

/** The text alone, without places: a fifth of the work. @returns `null` where nothing is escaped in that spelling */
export function undone(spelling: Escaped, text: string): string | null {
  const { opening, sign, read, utf8 } = READERS[spelling];
  if (!text.includes(sign)) return null;
  const open = opening.charCodeAt(0);
  const from = Buffer.from(text, 'latin1');
  const decoded = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 0; at < from.length; ) {
    const byte = from[at] ?? 0;
    const found = byte === open ? read(text, at) : CUT;
    if (found >= 0) length += write(codeOf(found), utf8, decoded, length);
    else decoded[length++] = byte;
    at += found >= 0 ? lengthOf(found) : 1;
  }
  return length === from.length ? null : decoded.toString('latin1', 0, length);
}

/** Does an escape stand for a character that is looked for, or is one cut off. */
function isWanted(text: string, reader: Reader, { skip, wanted, final }: DecodeAsk): boolean {
  const { opening, read } = reader;
  let at = text.indexOf(opening, skip);
  while (at !== -1) {
    const found = read(text, at);
    if (found >= 0) {
      if (wanted === null || wanted[firstByte(codeOf(found), reader.utf8)] === 1) return true;
      at = text.indexOf(opening, at + lengthOf(found));
    } else if (found === CUT && !final) return true;
    else at = text.indexOf(opening, at + 1);
  }
  return false;
}

/** How many bytes from `offset` on belong to an escape that begins before it. */
export function escapedAt(spelling: Escaped, text: string, at: { skip: number; offset: number }): number {
  const { opening, read } = READERS[spelling];
  let end = at.skip;
  let from = text.indexOf(opening, end);
  while (from !== -1 && from < at.offset) {
    const found = read(text, from);
    if (found >= 0) end = from + lengthOf(found);
    from = text.indexOf(opening, Math.max(end, from + 1));
  }
  return Math.max(0, end - at.offset);
}

/** Short stretches cost less one by one. */
const COPY_ONE_BY_ONE = 24;

function copy(text: string, { from, to }: { from: number; to: number }, into: Buffer, at: number): number {
  if (to - from > COPY_ONE_BY_ONE) return into.write(text.slice(from, to), at, 'latin1');
  for (let next = from; next < to; next += 1) into[at + next - from] = text.charCodeAt(next);
  return to - from;
}

/** Keys are bytes, and these speak of characters: the escape stands for their UTF-8. Halves of pairs match nothing. */
function write(code: number, utf8: boolean, into: Buffer, at: number): number {
  into[at] = firstByte(code, utf8);
  if (!utf8 || code < 0x80) return 1;
  if (code < 0x800) {
    into[at + 1] = 0x80 | (code & 0x3f);
    return 2;
  }
  into[at + 1] = 0x80 | ((code >> 6) & 0x3f);
  into[at + 2] = 0x80 | (code & 0x3f);
  return 3;
}

function firstByte(code: number, utf8: boolean): number {
  if (!utf8 || code < 0x80) return code;
  return code < 0x800 ? 0xc0 | (code >> 6) : 0xe0 | (code >> 12);
}

/** The first character of the view that begins at or behind `offset`. */
export function indexAt(view: View, offset: number): number {
  const { breaks, base, text } = view;
  if (breaks === null) return offset;
  return Math.min(text.length, decodedIndex(breaks, base, offset));
}

/** Where in the source the view's character begins. */
export function startAt(view: View, index: number): number {
  const { breaks } = view;
  const last = breaks === null ? -1 : lastBelow(breaks.index, index + 1);
  const isBehind = breaks?.count[last] === 0 && breaks.index[last] === index;
  return isBehind ? (breaks.to[last] ?? 0) : endAt(view, index);
}

/** Where in the source the view's text before the character ends: elsewhere only if what stands between means nothing. */
export function endAt(view: View, index: number): number {
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
  const count = breaks.count[last] ?? 0;
  return offset <= to ? index + Math.min(1, count) : index + count + offset - to;
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
