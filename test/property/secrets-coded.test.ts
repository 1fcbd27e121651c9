/** Placeholders and keys in base64, at any place of any text: refused, and nothing else is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { base64Forms, hasCodedMarker } from '../../src/secrets/coded.ts';
import { coreOf } from '../../src/secrets/core.ts';
import { buildLeakIndex } from '../../src/secrets/leaks.ts';
import { ALPHABETS, makePlaceholder } from '../../src/secrets/placeholder.ts';
import { indexPlaceholders } from '../../src/secrets/placeholder-index.ts';
import { tailSum } from '../../src/secrets/revoked.ts';
import { SecretValue } from '../../src/secrets/value.ts';

const RUNS = 2000;
const bytes = (max: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));
const coding = fc.constantFrom('base64', 'base64url');
const seed = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((array) => Buffer.from(array));
const WITH_ROOM = ['base62', 'base64url', 'lower', 'upper', 'hex', 'hexUpper'] as const;

describe('base64', () => {
  it('of any text around any placeholder with a marker is recognised', () => {
    const prefix = fc.constantFrom('', 's', 'sk', 'sk-', 'ghp_', 'sk-proj-', '123456:');
    fc.assert(
      fc.property(
        seed,
        prefix,
        fc.constantFrom(...WITH_ROOM),
        bytes(40),
        bytes(40),
        coding,
        (from, start, name, a, b, how) => {
          const made = makePlaceholder(from, { prefix: start, length: 64, alphabet: ALPHABETS[name] });
          const code = Buffer.concat([a, Buffer.from(made), b]).toString(how);
          expect(hasCodedMarker(`x ${code} y`)).toBe(true);
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('of a placeholder without a marker is found as that placeholder', () => {
    const shape = { prefix: 'AC', length: 34, alphabet: ALPHABETS.hex };
    fc.assert(
      fc.property(seed, bytes(40), bytes(40), coding, (from, a, b, how) => {
        const made = makePlaceholder(from, shape);
        const text = Buffer.concat([a, Buffer.from(made), b]).toString(how);
        expect(indexPlaceholders([made]).find(text)).toMatchObject([{ tag: made }]);
      }),
      { numRuns: RUNS },
    );
  });

  it('of other bytes is none', () => {
    fc.assert(
      fc.property(bytes(400), coding, (other, how) => {
        expect(hasCodedMarker(other.toString(how))).toBe(false);
      }),
      { numRuns: RUNS },
    );
  });

  it('of a key, current or revoked, is found where it stands, and not where bytes of it are missing', () => {
    const key = fc.uint8Array({ minLength: 12, maxLength: 60 }).map((array) => Buffer.from(array));
    const leaksOf = (value: Buffer) => [
      buildLeakIndex({ current: [new SecretValue('k', value)], revoked: [] }),
      buildLeakIndex({
        current: [],
        revoked: [
          { length: value.length, tail: tailSum(value), matches: (candidate) => candidate.equals(value) },
        ],
      }),
    ];
    const any = fc.constantFrom('base64', 'base64url', 'hex');
    fc.assert(
      fc.property(key, bytes(40), bytes(40), any, (value, a, b, how) => {
        const write = (middle: Buffer): string => ` ${Buffer.concat([a, middle, b]).toString(how)}\r\n`;
        // Bits of the first and the last byte may stand in characters that its neighbours share.
        const less = value.subarray(2, -2);
        fc.pre(!Buffer.concat([a, less, b]).includes(value.subarray(1, -1)));
        // White space around a key is not looked for.
        fc.pre(coreOf(value, 8).length === value.length);
        for (const leaks of leaksOf(value)) {
          expect(leaks.found(write(value))).toBe(true);
          expect(leaks.found(write(less))).toBe(false);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('of eight bytes is ten characters at least, in each alignment', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (eight) => {
        for (const form of base64Forms(Buffer.from(eight))) expect(form.length).toBeGreaterThanOrEqual(10);
      }),
    );
  });
});
