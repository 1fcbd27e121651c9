import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildLeakIndex } from '../../src/secrets/leaks.ts';
import { buildNeedles, MIN_NEEDLE_BYTES, saltOf } from '../../src/secrets/needles.ts';
import { tailSum } from '../../src/secrets/revoked.ts';
import { SecretValue } from '../../src/secrets/value.ts';

/** Few letters, so that needles overlap, repeat and nearly match. */
const letters = (min: number, max: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('a', 'b', '\xff'), minLength: min, maxLength: max });
const needle = letters(MIN_NEEDLE_BYTES, 24);

function index(texts: readonly string[]) {
  return buildNeedles(texts.map((text) => ({ bytes: Buffer.from(text, 'latin1'), tag: text })));
}

/** What a plain search finds: at each end the first needle that fits, later ones of the list first. */
function plainly(texts: readonly string[], text: string): readonly string[] {
  const found: string[] = [];
  for (let end = 1; end <= text.length; end += 1) {
    const fits = texts.some((one) => text.slice(0, end).endsWith(one));
    if (fits) found.push(`${end}`);
  }
  return found;
}

describe('many needles at once', () => {
  it('are found exactly where a plain search finds them', () => {
    fc.assert(
      fc.property(fc.array(needle, { maxLength: 6 }), letters(0, 80), (needles, text) => {
        const hits = index(needles).find(text);
        expect(hits.map((hit) => `${hit.end}`)).toEqual(plainly(needles, text));
        for (const hit of hits) expect(text.slice(hit.start, hit.end)).toBe(hit.tag);
      }),
      { numRuns: 1000 },
    );
  });

  it('stand in a table whose order follows from all of them, so that nobody can time a guess at one', () => {
    const salt = (...texts: string[]): number =>
      saltOf(texts.map((text) => ({ bytes: Buffer.from(text, 'latin1') })));
    expect(salt('one-needle', 'another-needle')).not.toBe(salt('one-needle', 'another-needles'));
    expect(salt('one-needle', 'another-needle')).toBe(salt('one-needle', 'another-needle'));
  });

  it('are there exactly when one is found', () => {
    fc.assert(
      fc.property(fc.array(needle, { maxLength: 6 }), letters(0, 80), (needles, text) => {
        const all = index(needles);
        expect(all.has(text)).toBe(all.find(text).length > 0);
      }),
    );
  });

  it('are found in any surroundings', () => {
    const any = fc.string({ unit: 'binary', maxLength: 60 });
    const key = fc.string({ unit: 'binary-ascii', minLength: MIN_NEEDLE_BYTES, maxLength: 60 });
    fc.assert(
      fc.property(any, key, any, fc.array(key, { maxLength: 6 }), (before, wanted, after, others) => {
        const ends = index([...others, wanted])
          .find(before + wanted + after)
          .map((hit) => hit.end);
        expect(ends).toContain(before.length + wanted.length);
      }),
    );
  });
});

describe('a revoked value', () => {
  const digestOf = (value: Buffer) => ({
    length: value.length,
    tail: tailSum(value),
    matches: (candidate: Buffer) => candidate.equals(value),
  });

  it('is found exactly where it stands', () => {
    fc.assert(
      fc.property(
        letters(0, 60),
        letters(8, 40),
        letters(0, 60),
        fc.array(letters(8, 40)),
        (a, key, b, others) => {
          const revoked = [...others, key].map((one) => digestOf(Buffer.from(one, 'latin1')));
          const leaks = buildLeakIndex({ current: [], revoked });
          expect(leaks.found(a + key + b)).toBe(true);
          const text = a + b;
          expect(leaks.found(text)).toBe([...others, key].some((one) => text.includes(one)));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is found in a text longer than any head', () => {
    const value = Buffer.from('revoked-value-0123456789');
    const leaks = buildLeakIndex({ current: [], revoked: [digestOf(value)] });
    expect(leaks.found(`${'x'.repeat(100_000)}${value.toString()}y`)).toBe(true);
    expect(leaks.found('x'.repeat(100_000))).toBe(false);
  });

  it('is not left over from the text before', () => {
    const value = Buffer.from('revoked-value-0123456789');
    const leaks = buildLeakIndex({ current: [], revoked: [digestOf(value)] });
    expect(leaks.found(value.toString())).toBe(true);
    expect(leaks.found('short')).toBe(false);
    expect(leaks.found(value.toString().slice(0, 10))).toBe(false);
  });
});

describe('a current value', () => {
  it('is found at any place, plain and percent-encoded', () => {
    const key = fc.string({ unit: 'grapheme-ascii', minLength: 8, maxLength: 40 });
    const any = fc.string({ unit: 'grapheme-ascii', maxLength: 40 });
    fc.assert(
      fc.property(any, key, any, (before, value, after) => {
        const leaks = buildLeakIndex({ current: [new SecretValue('k', Buffer.from(value))], revoked: [] });
        expect(leaks.found(before + value + after)).toBe(true);
        expect(
          leaks.found(
            before +
              encodeURIComponent(value).replace(
                /[!'()*]/g,
                (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
              ) +
              after,
          ),
        ).toBe(true);
      }),
    );
  });
});
