/**
 * Byte strings to be found in a stream, where a match may be cut anywhere: the search of `needles.ts`, and which end
 * of a text may be the beginning of a match, so that only that is held back. In base64 a key's first and last
 * character may hold bits of its neighbours: `lead` and `trail` compare the bits that are the key's. Used by `stream.ts`.
 */
import { type Edge, sextetOf } from './base64.ts';
import { buildNeedles, type NeedleIndex } from './needles.ts';

export type Pattern<T> = {
  readonly lead: Edge | null;
  readonly codes: Buffer;
  readonly trail: Edge | null;
  readonly tag: T;
  /** how many of the codes a text must hold to wait for the rest; all of them where nobody may not know them */
  readonly opening?: number;
};

/** `text.slice(start, end)` matches; the edges are part of it. */
export type Found<T> = {
  readonly start: number;
  readonly end: number;
  readonly tag: T;
  /** its first, its last character may be another match's as well */
  readonly lead: boolean;
  readonly trail: boolean;
};

type Known<T> = Pattern<T> & {
  readonly length: number;
  /** by code: 1 where the character may follow the opening; null: any may */
  readonly kind: Uint8Array | null;
  /** shorter patterns at whose end this one ends, too */
  readonly inner: readonly Pattern<T>[];
};

export class PatternSet<T> {
  /** characters of the longest pattern */
  readonly longest: number;
  /** by code: 1 where the character may be part of a match, or wait for one */
  readonly codes = new Uint8Array(256);
  readonly #all: readonly Pattern<T>[];
  readonly #needles: NeedleIndex<Known<T>>;
  /** by the character that may begin them */
  readonly #starts: readonly (readonly Known<T>[])[];
  /** by the first three characters: 1 where they may begin one */
  readonly #triples = new Uint8Array(TRIPLES);

  /** Patterns below `MIN_NEEDLE_BYTES` are left out: they would match ordinary text. */
  constructor(patterns: readonly Pattern<T>[]) {
    const sorted = distinct(patterns).sort((a, b) => a.codes.length - b.codes.length);
    const alike = new Alike<Pattern<T>>();
    const known = sorted.map((one) => {
      const kind = kindOf(one.codes);
      const inner = alike.to(one.codes).filter((other) => endsLike(one.codes, other.codes));
      alike.add(one);
      return { ...one, length: lengthOf(one), kind, inner };
    });
    this.#all = patterns;
    // Of two that end alike the index tells the later one, which is the longer.
    this.#needles = buildNeedles(known.map((one) => ({ bytes: one.codes, tag: one })));
    this.longest = known.reduce((most, { length }) => Math.max(most, length), 0);
    for (const pattern of known) enter(pattern, this.codes);
    this.#starts = startsOf(known);
    this.#starts.forEach((beginning, code) => {
      for (const { lead, codes } of beginning) {
        const [second = 0, third = 0] = codes.subarray(lead === null ? 1 : 0);
        this.#triples[slotOf(code, second, third)] = 1;
      }
    });
  }

  get size(): number {
    return this.#needles.size;
  }

  /** Wipes its patterns, which may be keys, once another set has taken its place: it finds nothing any more. */
  wipe(): void {
    for (const { codes } of this.#all) codes.fill(0);
  }

  /** May there be any match; where not, there is none. */
  has(text: string): boolean {
    return this.#needles.has(text);
  }

  /** All matches, ordered by where their full characters end. `text` is latin-1. */
  find(text: string): readonly Found<T>[] {
    const hits = this.#needles.find(text);
    if (hits.length === 0) return NOTHING;
    return hits.flatMap(({ end, tag }) =>
      [tag, ...tag.inner].flatMap((pattern) => matchAt(text, end, pattern)),
    );
  }

  /**
   * The first offset at or behind `from` from which on the rest of the text is the beginning of a pattern, not all of
   * it; the text's length where there is none.
   */
  pendingAt(text: string, from: number): number {
    const last = text.length;
    const triples = this.#triples;
    for (let at = Math.max(from, last - this.longest + 1); at < last; at += 1) {
      if (
        at + 2 < last &&
        triples[slotOf(text.charCodeAt(at), text.charCodeAt(at + 1), text.charCodeAt(at + 2))] === 0
      )
        continue;
      const starting = this.#starts[text.charCodeAt(at)];
      if (starting?.some((pattern) => isBeginning(text, at, pattern)) === true) return at;
    }
    return last;
  }
}

const SPACE = 0x20;
/** By code: 1 where the character may stand in a token (RFC 6750 section 2.1, and the colon), so in base64 and hex. */
const IN_TOKENS = Uint8Array.from({ length: 256 }, (_, code) =>
  /[A-Za-z0-9\-._~+/=:]/.test(String.fromCharCode(code)) ? 1 : 0,
);
/** The same, and what stands between them in UTF-16, in AWS's hex and in a passphrase: NUL and space. */
const IN_WORDS = IN_TOKENS.map((isIn, code) => (code === 0 || code === SPACE ? 1 : isIn));
const NOTHING: readonly never[] = [];
const TRIPLES = 8192;
const END_BYTES = 4;

function slotOf(first: number, second: number, third: number): number {
  return (first ^ (second << 3) ^ (third << 6)) & (TRIPLES - 1);
}

function kindOf(codes: Buffer): Uint8Array | null {
  return [IN_TOKENS, IN_WORDS].find((kind) => codes.every((code) => kind[code] === 1)) ?? null;
}

function enter({ lead, codes, trail, kind }: Known<unknown>, into: Uint8Array): void {
  for (const code of codes) into[code] = 1;
  const hasEdge = lead !== null || trail !== null;
  for (let code = 0; code < into.length; code += 1) {
    // What may follow an opening waits in whichever way it is escaped.
    if (kind === null || kind[code] === 1 || (hasEdge && sextetOf(code) !== -1)) into[code] = 1;
  }
}

function lengthOf({ lead, codes, trail }: Pattern<unknown>): number {
  return (lead === null ? 0 : 1) + codes.length + (trail === null ? 0 : 1);
}

/** Patterns by how they end, since a host may have hundreds of keys: comparing each with all others takes seconds. */
class Alike<P extends { readonly codes: Buffer }> {
  readonly #by = new Map<number, P[]>();

  add(pattern: P): void {
    const end = endOf(pattern.codes);
    const others = this.#by.get(end);
    if (others === undefined) this.#by.set(end, [pattern]);
    else others.push(pattern);
  }

  /** Those that were added and may end alike, in order. */
  to(codes: Buffer): readonly P[] {
    return this.#by.get(endOf(codes)) ?? NOTHING;
  }
}

/** The last bytes as a number; all needles have as many. */
function endOf(codes: Buffer): number {
  return codes.length < END_BYTES ? 0 : codes.readUInt32LE(codes.length - END_BYTES);
}

/** The two alphabets of base64 mostly spell a key alike. */
function distinct<T>(patterns: readonly Pattern<T>[]): Pattern<T>[] {
  const alike = new Alike<Pattern<T>>();
  return patterns.filter((pattern) => {
    const isKnown = alike
      .to(pattern.codes)
      .some(
        (other) =>
          other.codes.equals(pattern.codes) &&
          sameEdge(other.lead, pattern.lead) &&
          sameEdge(other.trail, pattern.trail),
      );
    if (!isKnown) alike.add(pattern);
    return !isKnown;
  });
}

function sameEdge(one: Edge | null, other: Edge | null): boolean {
  return one?.mask === other?.mask && one?.bits === other?.bits;
}

function endsLike(text: Buffer, end: Buffer): boolean {
  return text.subarray(text.length - end.length).equals(end);
}

function matchAt<T>(text: string, codesEnd: number, pattern: Pattern<T>): readonly Found<T>[] {
  const { lead, codes, trail, tag } = pattern;
  const codesStart = codesEnd - codes.length;
  const start = lead === null ? codesStart : codesStart - 1;
  if (start < 0 || !fits(text, start, lead) || !fits(text, codesEnd, trail)) return NOTHING;
  const end = trail === null ? codesEnd : codesEnd + 1;
  return [{ start, end, tag, lead: lead !== null, trail: trail !== null }];
}

function fits(text: string, at: number, edge: Edge | null): boolean {
  if (edge === null) return true;
  return at < text.length && mayBe(text.charCodeAt(at), edge);
}

function mayBe(code: number, edge: Edge): boolean {
  const value = sextetOf(code);
  return value !== -1 && (value & edge.mask) === edge.bits;
}

/** By code: the patterns that it may begin. */
function startsOf<T>(known: readonly Known<T>[]): readonly (readonly Known<T>[])[] {
  const starts = Array.from({ length: 256 }, (): Known<T>[] => []);
  for (const pattern of known) {
    const { lead, codes } = pattern;
    if (lead === null) starts[codes[0] ?? 0]?.push(pattern);
    else
      starts.forEach((beginning, code) => {
        if (mayBe(code, lead)) beginning.push(pattern);
      });
  }
  return starts;
}

/**
 * May all of the text from `at` on begin the pattern, and does it end before that does. Behind the opening any text of
 * the kind may: whoever sees what is held back would else learn a key from it, character by character.
 */
function isBeginning(
  text: string,
  at: number,
  { lead, codes, length, opening, kind }: Known<unknown>,
): boolean {
  if (text.length - at >= length) return false;
  const from = lead === null ? at : at + 1;
  const opened = Math.min(text.length, from + (opening ?? codes.length));
  for (let offset = from; offset < opened; offset += 1) {
    if (text.charCodeAt(offset) !== codes[offset - from]) return false;
  }
  for (let offset = opened; kind !== null && offset < text.length; offset += 1) {
    if (kind[text.charCodeAt(offset)] !== 1) return false;
  }
  return true;
}
