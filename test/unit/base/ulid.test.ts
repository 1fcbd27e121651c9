import { describe, expect, it } from 'vitest';
import { createIdSource } from '../../../src/base/ulid.ts';

const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

function at(now: number): () => string {
  return createIdSource({ now: () => now, mono: () => 0 });
}

describe('request ids', () => {
  it('are 26 characters of Crockford base32', () => {
    const next = at(Date.UTC(2026, 10, 22));
    for (let i = 0; i < 5000; i++) expect(next()).toMatch(ULID);
  });

  it('carry the millisecond in their first ten characters', () => {
    // the ULID specification's own example: 1469918176385 is 01ARYZ6S41
    expect(at(1_469_918_176_385)().slice(0, 10)).toBe('01ARYZ6S41');
    expect(at(0)().slice(0, 10)).toBe('0000000000');
    expect(at(2 ** 48 - 1)().slice(0, 10)).toBe('7ZZZZZZZZZ');
  });

  it('sort by time when the clock goes on', () => {
    let now = 1_700_000_000_000;
    const next = createIdSource({ now: () => now, mono: () => 0 });
    const first = next();
    now += 1;
    expect(next() > first).toBe(true);
  });

  it('stay well formed under a clock outside 48 bits', () => {
    for (const now of [-1, 2 ** 48, Number.NaN, Number.POSITIVE_INFINITY]) expect(at(now)()).toMatch(ULID);
  });

  it('never repeat, and every random character takes every value', () => {
    const next = at(1);
    const seen = new Set<string>();
    const perPlace = Array.from({ length: 16 }, () => new Set<string>());
    for (let i = 0; i < 20_000; i++) {
      const id = next();
      seen.add(id);
      for (let place = 0; place < 16; place++) perPlace[place]?.add(id.charAt(10 + place));
    }
    expect(seen.size).toBe(20_000);
    expect(perPlace.map((values) => values.size)).toEqual(Array(16).fill(32));
  });
});
