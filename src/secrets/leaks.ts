/**
 * Tells whether a text holds a real key, current or revoked: an agent that got hold of one must not use it
 * (`secret_leak`). Current values are compared byte by byte. Of revoked ones only a keyed digest, the length
 * and a short sum of the last bytes are known; `vault/` makes and checks the digest. Called by `substitute.ts`.
 */
import { buildNeedles } from './needles.ts';
import { spellings } from './placeholder-index.ts';
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

/** What is kept of a value that is no longer valid. */
export type RevokedDigest = {
  /** bytes of the value */
  readonly length: number;
  /** `tailSum` of the value */
  readonly tail: number;
  /** Is this the value; compares keyed digests. */
  readonly matches: (candidate: Buffer) => boolean;
};

/** Shorter values are not looked for: they would match ordinary text. */
const MIN_LEAK_BYTES = 8;

const SCRATCH_BYTES = 16_384;
const TAIL_BYTES = 8;
const TAIL_BITS = 16;

/** 16 bits over the last eight bytes, to find candidates; far too little to find the value from it. */
export function tailSum(value: Buffer): number {
  let sum = 0;
  for (const byte of value.subarray(-TAIL_BYTES)) sum = addToSum(sum, byte);
  return slotOf(sum);
}

/** Four bits a step: what is older than eight bytes has left the 32 bits, so nothing need be taken out again. */
function addToSum(sum: number, byte: number): number {
  return ((sum << 4) + byte) | 0;
}

function slotOf(sum: number): number {
  return Math.imul(sum, 0x9e3779b1) >>> (32 - TAIL_BITS);
}

export function buildLeakIndex(ask: {
  current: readonly SecretValue[];
  revoked: readonly RevokedDigest[];
}): LeakIndex {
  const copies = ask.current.flatMap((value) =>
    spellings(value.expose().toString('latin1')).map((text) => Buffer.from(text, 'latin1')),
  );
  const needles = buildNeedles(copies.map((bytes) => ({ bytes, tag: null })));
  const revoked = ask.revoked.filter((digest) => digest.length >= MIN_LEAK_BYTES);
  const holdsRevoked = revoked.length === 0 ? () => false : revokedFinder(revoked);
  return {
    size: needles.size + revoked.length,
    longest: revoked.reduce((most, { length }) => Math.max(most, length), needles.longest),
    found: (text) => needles.has(text) || holdsRevoked(text),
    wipe: () => {
      for (const bytes of copies) bytes.fill(0);
    },
  };
}

/** One pass with a rolling sum over every eight characters, whatever the number of revoked values. */
function revokedFinder(revoked: readonly RevokedDigest[]): (text: string) => boolean {
  const marked = new Uint8Array(1 << TAIL_BITS);
  const byTail = new Map<number, RevokedDigest[]>();
  for (const digest of revoked) {
    marked[digest.tail] = 1;
    byTail.set(digest.tail, [...(byTail.get(digest.tail) ?? []), digest]);
  }
  // Reading bytes is twice as fast as reading characters; a head fits nearly always.
  const scratch = Buffer.alloc(SCRATCH_BYTES);
  return (text) => {
    const fits = text.length <= SCRATCH_BYTES;
    const bytes = fits ? scratch : Buffer.from(text, 'latin1');
    if (fits) scratch.write(text, 'latin1');
    let sum = 0;
    for (let at = 0; at < text.length; at += 1) {
      sum = addToSum(sum, bytes[at] ?? 0);
      const slot = slotOf(sum);
      if (marked[slot] === 1 && endsWithOne(byTail.get(slot) ?? [], bytes.subarray(0, at + 1))) return true;
    }
    return false;
  };
}

function endsWithOne(digests: readonly RevokedDigest[], text: Buffer): boolean {
  return digests.some(
    (digest) => digest.length <= text.length && digest.matches(text.subarray(text.length - digest.length)),
  );
}
