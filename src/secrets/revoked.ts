/**
 * Finds values in a text of which only a keyed digest, the length and a short sum of the last bytes are known: those
 * that are no longer valid. The text is looked at as it is, and with base64 and hex undone. Used by `leaks.ts`; `vault/`
 * makes and checks the digests.
 */
import { sextetOf } from './base64.ts';

/** What is kept of a value that is no longer valid. */
export type RevokedDigest = {
  /** bytes of the value */
  readonly length: number;
  /** `tailSum` of the value */
  readonly tail: number;
  /** Is this the value; compares keyed digests. */
  readonly matches: (candidate: Buffer) => boolean;
};

const SCRATCH_BYTES = 16_384;
const TAIL_BYTES = 8;
const TAIL_BITS = 16;
/** By byte: 1 where it is a character of base64. */
const IN_BASE64 = Uint8Array.from({ length: 256 }, (_, code) => (sextetOf(code) === -1 ? 0 : 1));
/** Characters of base64 that may stand between the beginning of a run and of a group of four. */
const OFFSETS = [0, 1, 2, 3];

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

/** The text is latin-1: one character per byte. */
export function revokedFinder(revoked: readonly RevokedDigest[]): (text: string) => boolean {
  const holds = digestFinder(revoked);
  const least = revoked.reduce((bytes, { length }) => Math.min(bytes, length), Number.POSITIVE_INFINITY);
  const inRun = codedFinder(least, holds);
  const leastRun = Math.ceil((least * 4) / 3);
  // Reading bytes is twice as fast as reading characters; a head fits nearly always.
  const scratch = Buffer.alloc(SCRATCH_BYTES);
  return (text) => {
    const bytes = text.length <= SCRATCH_BYTES ? scratch.subarray(0, text.length) : Buffer.alloc(text.length);
    bytes.write(text, 'latin1');
    return holds(bytes) || someRun(bytes, leastRun, (from, to) => inRun(text.slice(from, to)));
  };
}

/** One pass with a rolling sum over every eight bytes, whatever the number of digests. */
function digestFinder(revoked: readonly RevokedDigest[]): (bytes: Buffer) => boolean {
  const marked = new Uint8Array(1 << TAIL_BITS);
  const byTail = new Map<number, RevokedDigest[]>();
  for (const digest of revoked) {
    marked[digest.tail] = 1;
    byTail.set(digest.tail, [...(byTail.get(digest.tail) ?? []), digest]);
  }
  return (bytes) => {
    let sum = 0;
    for (let at = 0; at < bytes.length; at += 1) {
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

/** Runs of `least` characters of base64 or more: the window jumps behind the last character that is none. */
function someRun(bytes: Buffer, least: number, matches: (from: number, to: number) => boolean): boolean {
  let from = 0;
  while (from + least <= bytes.length) {
    let at = from + least - 1;
    while (at >= from && isIn(bytes, at)) at -= 1;
    if (at >= from) {
      from = at + 1;
      continue;
    }
    let end = from + least;
    while (end < bytes.length && isIn(bytes, end)) end += 1;
    if (matches(from, end)) return true;
    from = end + 1;
  }
  return false;
}

function isIn(bytes: Buffer, at: number): boolean {
  return IN_BASE64[bytes[at] ?? 0] === 1;
}

/** Undoes both codings of a run, at each place where what was coded may begin. */
function codedFinder(least: number, holds: (bytes: Buffer) => boolean): (run: string) => boolean {
  const hex = new RegExp(`[0-9a-fA-F]{${2 * least},}`, 'g');
  return (run) =>
    OFFSETS.some((offset) => holds(Buffer.from(run.slice(offset), 'base64'))) ||
    (run.length >= 2 * least &&
      Array.from(run.matchAll(hex), ([digits]) => digits).some(
        (digits) => holds(Buffer.from(digits, 'hex')) || holds(Buffer.from(digits.slice(1), 'hex')),
      ));
}
