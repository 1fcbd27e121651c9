/**
 * Takes real keys out of what an upstream says: each becomes the placeholder of whoever asked, in the encoding that it
 * was found in (contract section 11, threats 3.2 and 3.3). Only a whole key is replaced, so that nobody can try one
 * out piece by piece. Whatever the media type: bytes that equal a key are one. Called by `intercept/`; invariant I5.
 */
import { ALIGNMENTS, type Alignment, spellBase64, writeBase64 } from './base64.ts';
import { coreOf } from './core.ts';
import { spell } from './escapes.ts';
import { inOtherLetters } from './letters.ts';
import type { Pattern, PatternSet } from './patterns.ts';
import { isClean, type Match, type Pieces, rewriteText, StreamRewriter } from './stream.ts';
import type { SecretValue } from './value.ts';

export type ScrubKey = {
  /** how the key is called in records and metrics */
  readonly env: string;
  readonly placeholder: string;
  readonly value: SecretValue;
  /** also as AWS writes what it made a signature of: hex with a space between the bytes */
  readonly spaced?: boolean;
};

type Form =
  | { readonly kind: 'plain' }
  | { readonly kind: 'hex'; readonly upper: boolean }
  | { readonly kind: 'spaced' }
  | { readonly kind: 'wide' }
  | { readonly kind: 'base64'; readonly length: number; readonly alignment: Alignment };

export type ScrubTag = { readonly env: string; readonly placeholder: string; readonly form: Form };
export type ScrubSet = PatternSet<ScrubTag>;

/** What an escape begins with. */
const OPENINGS = /[%\\&]/;
const SPACE = 0x20;
const PLUS = 0x2b;
/** Shorter keys are not looked for: they would match ordinary text. */
export const MIN_SCRUBBED_BYTES = 8;
/** Of a key that begins otherwise than its placeholder so much tells which text may become it: at least, and one part in. */
const MIN_OPENING_BYTES = 3;
const OPENING_PART = 8;

/** All that is looked for of one key; a copy of it, since a value is wiped when it is dropped. */
export function scrubPatterns({ env, placeholder, value, spaced }: ScrubKey): readonly Pattern<ScrubTag>[] {
  const bytes = coreOf(value.expose(), MIN_SCRUBBED_BYTES);
  if (bytes.length < MIN_SCRUBBED_BYTES) return [];
  const opening = openingOf(bytes, placeholder);
  const plain = { lead: null, trail: null, opening };
  const inHex = { ...plain, opening: 2 * opening };
  const tag = (form: Form): ScrubTag => ({ env, placeholder, form });
  const digits = bytes.toString('hex');
  return [
    ...[Buffer.from(bytes), ...inOtherLetters(bytes)].map((codes) => ({
      ...plain,
      codes,
      tag: tag({ kind: 'plain' }),
    })),
    // In a form a space is a plus.
    ...(bytes.includes(SPACE)
      ? [
          {
            ...plain,
            codes: Buffer.from(bytes.map((byte) => (byte === SPACE ? PLUS : byte))),
            tag: tag({ kind: 'plain' }),
          },
        ]
      : []),
    { ...inHex, codes: Buffer.from(digits, 'latin1'), tag: tag({ kind: 'hex', upper: false }) },
    { ...inHex, codes: Buffer.from(digits.toUpperCase(), 'latin1'), tag: tag({ kind: 'hex', upper: true }) },
    // UTF-16 in either order: a NUL before or behind each character.
    ...(isAscii(bytes)
      ? [{ ...plain, opening: 2 * opening, codes: widened(bytes), tag: tag({ kind: 'wide' }) }]
      : []),
    ...(spaced === true
      ? [
          {
            ...plain,
            opening: 3 * opening,
            codes: Buffer.from(spacedHex(bytes), 'latin1'),
            tag: tag({ kind: 'spaced' }),
          },
        ]
      : []),
    ...ALIGNMENTS.flatMap((alignment) =>
      [false, true].map((urlSafe) => ({
        ...spellBase64(bytes, alignment, urlSafe),
        opening: spellBase64(bytes.subarray(0, opening), alignment, urlSafe).codes.length,
        tag: tag({ kind: 'base64', length: bytes.length, alignment }),
      })),
    ),
  ];
}

/** Bytes: what the sandbox knows of the key by its placeholder, or a small part of what it does not. */
function openingOf(bytes: Buffer, placeholder: string): number {
  let shared = 0;
  while (shared < bytes.length && bytes[shared] === placeholder.charCodeAt(shared)) shared += 1;
  return shared >= MIN_OPENING_BYTES
    ? shared
    : Math.max(MIN_OPENING_BYTES, Math.floor(bytes.length / OPENING_PART));
}

/** One body. Chunks in, pieces out; `found` is told the name of each key that was taken out. */
export class Scrubber {
  readonly #stream: StreamRewriter<ScrubTag>;

  /** `patterns` is asked at each piece: keys rotate while a stream is open */
  constructor(patterns: () => ScrubSet, found: (env: string) => void) {
    this.#stream = new StreamRewriter({ patterns, folds: true, replace: replacer(found) });
  }

  feed(bytes: Buffer, out: Pieces): void {
    this.#stream.feed(bytes, out);
  }

  end(out: Pieces): void {
    this.#stream.end(out);
  }
}

/** What is looked for, asked anew each time, and who is told the name of each key that was taken out. */
export type ScrubWith = { patterns(): ScrubSet; found(env: string): void };

/** All of a body at once: itself, where no key is in it. */
export function scrubWhole(bytes: Buffer, ask: ScrubWith): Pieces {
  const patterns = ask.patterns();
  if (isClean(bytes.toString('latin1'), patterns)) return [bytes];
  const out: Pieces = [];
  const replace = replacer((env) => ask.found(env));
  new StreamRewriter({ patterns: () => patterns, folds: true, replace }).whole(bytes, out);
  return out;
}

/** Heads and trailers, latin-1. A placeholder of several lines cannot stand there: its line ends go. */
export function scrubFields(text: string, patterns: ScrubSet, found: (env: string) => void): string {
  if (!patterns.has(text) && !OPENINGS.test(text)) return text;
  const replace = replacer(found);
  const onOneLine = (match: Match<ScrubTag>): string => replace(match).replace(/[\r\n]/g, '');
  return rewriteText(text, { patterns: () => patterns, replace: onOneLine }) ?? '';
}

function replacer(found: (env: string) => void): (match: Match<ScrubTag>) => string {
  return (match) => {
    found(match.tag.env);
    return spell(written(match), match.spelling);
  };
}

function written({ tag, text }: Match<ScrubTag>): string {
  const { placeholder, form } = tag;
  switch (form.kind) {
    case 'plain':
      return placeholder;
    case 'hex': {
      const digits = Buffer.from(placeholder, 'latin1').toString('hex');
      return form.upper ? digits.toUpperCase() : digits;
    }
    case 'spaced':
      return spacedHex(Buffer.from(placeholder, 'latin1'));
    case 'wide':
      return widened(Buffer.from(placeholder, 'latin1')).toString('latin1');
    case 'base64':
      return writeBase64(placeholder, text, form);
  }
}

function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte < 0x80);
}

/** With a NUL between two bytes. */
function widened(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1'), 'utf16le').subarray(0, Math.max(0, 2 * bytes.length - 1));
}

function spacedHex(bytes: Buffer): string {
  return bytes.toString('hex').replace(/..(?!$)/g, '$& ');
}
