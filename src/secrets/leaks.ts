/**
 * Tells whether a text holds a real key, current or revoked: an agent that got hold of one must not use it
 * (`secret_leak`). Current values are compared byte by byte, as they are, in other letters, percent-encoded, in base64 and in hex. Of
 * revoked ones only a keyed digest, the length and a short sum of the last bytes are known: base64 and hex are undone
 * for them (`revoked.ts`). Called by `substitute.ts`.
 */
import { base64Forms, hexForms } from './coded.ts';
import { coreOf } from './core.ts';
import { inOtherLetters } from './letters.ts';
import { buildNeedles } from './needles.ts';
import { spellings } from './placeholder-index.ts';
import { type RevokedDigest, revokedFinder } from './revoked.ts';
import type { SecretValue } from './value.ts';

export type LeakIndex = {
  /** values looked for */
  readonly size: number;
  /** characters of the longest, however it is spelt */
  readonly longest: number;
  /** `text` is latin-1: one character per byte. */
  found(text: string): boolean;
  /** Wipes its copies of current values, once another index has taken its place. */
  wipe(): void;
};

/** Shorter values are not looked for: they would match ordinary text. */
const MIN_LEAK_BYTES = 8;

export function buildLeakIndex(ask: {
  current: readonly SecretValue[];
  revoked: readonly RevokedDigest[];
}): LeakIndex {
  const copies = ask.current.flatMap((value) => formsOf(coreOf(value.expose(), MIN_LEAK_BYTES)));
  const needles = buildNeedles(copies.map((bytes) => ({ bytes, tag: null })));
  const revoked = ask.revoked.filter((digest) => digest.length >= MIN_LEAK_BYTES);
  const holdsRevoked = revoked.length === 0 ? () => false : revokedFinder(revoked);
  return {
    size: needles.size + revoked.length,
    longest: revoked.reduce((most, { length }) => Math.max(most, 2 * length), needles.longest),
    found: (text) => needles.has(text) || holdsRevoked(text),
    wipe: () => {
      for (const bytes of copies) bytes.fill(0);
    },
  };
}

/** What is too short as it is would be long enough in base64. */
function formsOf(bytes: Buffer): readonly Buffer[] {
  if (bytes.length < MIN_LEAK_BYTES) return [];
  const written = spellings(bytes.toString('latin1')).map((text) => Buffer.from(text, 'latin1'));
  return [...written, ...inOtherLetters(bytes), ...base64Forms(bytes), ...hexForms(bytes)];
}
