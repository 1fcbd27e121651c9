/**
 * Ids of flows and requests: ULIDs (26 Crockford base32 characters: 48 bits of milliseconds, 80 random
 * bits), so that records sort by time and an id tells nothing of the next one. One id per request, so
 * this is on the hot path: the time part is kept per millisecond, the randomness comes from a pool.
 */
import { randomFillSync } from 'node:crypto';
import type { Clock } from './clock.ts';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_CHARS = 10;
const MAX_TIME = 2 ** 48 - 1;
/** Two characters (10 bits) come from each 16-bit word; 8 words make the 16 random characters. */
const WORDS_PER_ID = 8;
const POOL_IDS = 1024;

const PAIRS: readonly string[] = Array.from(
  { length: 1024 },
  (_, bits) => ALPHABET.charAt(bits >> 5) + ALPHABET.charAt(bits & 31),
);

/**
 * A function that returns a new ULID at each call. Ids of one millisecond are not ordered among
 * themselves: all 80 bits are random, because an id that can be guessed from its neighbour is a handle.
 */
export function createIdSource(clock: Clock): () => string {
  const pool = new Uint16Array(WORDS_PER_ID * POOL_IDS);
  let next = pool.length;
  let lastTime = Number.NaN;
  let lastSecond = Number.NaN;
  let secondPart = '';
  let timePart = '';

  const word = (at: number): string => PAIRS[(pool[at] ?? 0) & 1023] ?? '';

  return () => {
    const now = clock.now();
    if (now !== lastTime) {
      lastTime = now;
      const ms = within48Bits(now);
      // Two characters are 1,024 ms: the others are written once for all of them.
      const second = Math.floor(ms / 1024);
      if (second !== lastSecond) {
        lastSecond = second;
        secondPart = encode(second, TIME_CHARS - 2);
      }
      timePart = secondPart + (PAIRS[ms % 1024] ?? '');
    }
    if (next === pool.length) {
      randomFillSync(pool);
      next = 0;
    }
    const at = next;
    next += WORDS_PER_ID;
    // V8 copies what stays below 13 characters, and makes a tree of anything longer: two joints are better than eight.
    const left = word(at) + word(at + 1) + word(at + 2) + word(at + 3);
    const right = word(at + 4) + word(at + 5) + word(at + 6) + word(at + 7);
    return timePart + left + right;
  };
}

/** A clock outside 48 bits is set to the nearest end: an id is never malformed. */
function within48Bits(ms: number): number {
  return Number.isFinite(ms) ? Math.min(Math.max(Math.floor(ms), 0), MAX_TIME) : 0;
}

function encode(value: number, chars: number): string {
  let rest = value;
  let text = '';
  for (let i = 0; i < chars; i++) {
    text = ALPHABET.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}
