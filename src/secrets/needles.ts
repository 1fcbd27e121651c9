/**
 * Finds many byte strings in one text at once, for placeholders and real values on the hot path: a search
 * after Wu and Manber ("A fast algorithm for multi-pattern searching", 1994). A block of four characters
 * tells how far the window may jump, so a head without any needle is read in steps of up to 13 characters
 * instead of once per needle. Needles are compared as bytes, so a real key never becomes a string here. How long a search
 * takes tells which places of its table are taken; which blocks those stand for depends on the needles themselves.
 */
export type Needle<T> = { readonly bytes: Buffer; readonly tag: T };

/** `text.slice(start, end)` is a needle. */
export type Hit<T> = { readonly start: number; readonly end: number; readonly tag: T };

export type NeedleIndex<T> = {
  /** needles held */
  readonly size: number;
  /** characters of the longest; 0: there is none */
  readonly longest: number;
  /** All occurrences, ordered by their end. `text` is latin-1: one character per byte. */
  find(text: string): readonly Hit<T>[];
  /** Is there any occurrence; stops at the first. */
  has(text: string): boolean;
};

/** Needles below this many bytes are left out: they would match ordinary text. */
export const MIN_NEEDLE_BYTES = 8;

const BLOCK = 4;
const MAX_WINDOW = 16;
/** The table grows with the needles, so that most of it stays empty, and fits the first cache while it can. */
const MIN_TABLE_BITS = 13;
const MAX_TABLE_BITS = 18;
const NONE: readonly never[] = [];

/** `needles`: the later one wins where two are equal. */
export function buildNeedles<T>(needles: readonly Needle<T>[]): NeedleIndex<T> {
  const held = needles.filter((needle) => needle.bytes.length >= MIN_NEEDLE_BYTES);
  if (held.length === 0) return { size: 0, longest: 0, find: () => NONE, has: () => false };
  const window = held.reduce((least, needle) => Math.min(least, needle.bytes.length), MAX_WINDOW);
  const bits = Math.min(MAX_TABLE_BITS, Math.max(MIN_TABLE_BITS, Math.ceil(Math.log2(held.length)) + 8));
  const search = {
    window,
    salt: saltOf(held),
    shift: 32 - bits,
    jumps: new Uint8Array(1 << bits).fill(window - BLOCK + 1),
    buckets: new Map<number, Needle<T>[]>(),
  };
  for (const needle of held) enter(search, needle);
  return {
    size: held.length,
    longest: held.reduce((most, { bytes }) => Math.max(most, bytes.length), 0),
    find: (text) => scan(search, text, false),
    has: (text) => scan(search, text, true).length > 0,
  };
}

type Search<T> = {
  readonly window: number;
  /** told to nobody: a sandbox that times searches of its own text would else read a key's end off the table */
  readonly salt: number;
  /** leaves as many bits of a block's hash as the table has */
  readonly shift: number;
  /** by block: how far the window's end may move; 0 where a needle may end */
  readonly jumps: Uint8Array;
  readonly buckets: Map<number, Needle<T>[]>;
};

/** The window is the needle's end: keys differ there, while they share their prefixes. */
function enter<T>(search: Search<T>, needle: Needle<T>): void {
  const { window, salt, shift, jumps, buckets } = search;
  const { bytes } = needle;
  for (let end = bytes.length - window + BLOCK; end <= bytes.length; end += 1) {
    const block =
      blockOf(salt, bytes[end - 4] ?? 0, bytes[end - 3] ?? 0, bytes[end - 2] ?? 0, bytes[end - 1] ?? 0) >>>
      shift;
    jumps[block] = Math.min(jumps[block] ?? 0, bytes.length - end);
    if (end < bytes.length) continue;
    const bucket = buckets.get(block);
    if (bucket === undefined) buckets.set(block, [needle]);
    else bucket.unshift(needle);
  }
}

function blockOf(salt: number, a: number, b: number, c: number, d: number): number {
  return Math.imul((a | (b << 8) | (c << 16) | (d << 24)) ^ salt, 0x9e3779b1);
}

/** 32 bits of all that is looked for (FNV-1a). */
export function saltOf(needles: readonly { readonly bytes: Buffer }[]): number {
  let salt = 0x811c9dc5;
  for (const { bytes } of needles) for (const byte of bytes) salt = Math.imul(salt ^ byte, 0x01000193);
  return salt;
}

function scan<T>(search: Search<T>, text: string, first: boolean): readonly Hit<T>[] {
  const { window, salt, shift, jumps, buckets } = search;
  let hits: Hit<T>[] | undefined;
  let end = window;
  while (end <= text.length) {
    const block =
      blockOf(
        salt,
        text.charCodeAt(end - 4),
        text.charCodeAt(end - 3),
        text.charCodeAt(end - 2),
        text.charCodeAt(end - 1),
      ) >>> shift;
    const jump = jumps[block] ?? 0;
    if (jump > 0) {
      end += jump;
      continue;
    }
    const tagged = buckets.get(block)?.find((needle) => endsWith(text, end, needle.bytes));
    if (tagged !== undefined) {
      hits ??= [];
      hits.push({ start: end - tagged.bytes.length, end, tag: tagged.tag });
      if (first) return hits;
    }
    end += 1;
  }
  return hits ?? NONE;
}

function endsWith(text: string, end: number, bytes: Buffer): boolean {
  const start = end - bytes.length;
  if (start < 0) return false;
  for (let at = 0; at < bytes.length; at += 1) {
    if (text.charCodeAt(start + at) !== bytes[at]) return false;
  }
  return true;
}
