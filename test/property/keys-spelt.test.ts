/** Keys of every alphabet in every spelling and place of an answer: none gets through, and nothing else changes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PatternSet } from '../../src/secrets/patterns.ts';
import { Scrubber, scrubFields, scrubPatterns, scrubWhole } from '../../src/secrets/scrub.ts';
import { SecretValue } from '../../src/secrets/value.ts';
import { SPELLINGS } from '../helpers/key-spellings.ts';

const RUNS = 6000;

const ALPHABETS = [
  'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789',
  '0123456789abcdef',
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=',
  'abcdefXYZ0123456789-_',
  '!"#$%&\'()*+,-./0123456789:;<=>?@ABC[\\]^_`abc{|}~',
];
const secret = fc
  .constantFrom(...ALPHABETS)
  .chain((alphabet) =>
    fc.string({ unit: fc.constantFrom(...alphabet.split('')), minLength: 16, maxLength: 64 }),
  );
/** Where a spelt key stands: text before and behind it. */
const PLACES = [
  ['{"token":"', '","n":1}'],
  ['<p title="', '">&amp; text</p>\n'],
  ['data: ', '\n\n'],
  ['id,key\r\n1,', '\r\n2,none\r\n'],
  ['', ''],
  ['\u0000\u0001 ', ' \u00ff'],
  ['a\\nb "', '" %20c &#39;'],
] as const;
const places = fc.array(fc.tuple(fc.constantFrom(...PLACES), fc.constantFrom(...Object.keys(SPELLINGS))), {
  minLength: 1,
  maxLength: 4,
});
const cuts = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 });

/** As long as the key, and spelt alike in all ways but base64 and hex. */
const standIn = (length: number): string =>
  `PLACEHOLDERplaceholder0123456789`.repeat(2).slice(0, length).padEnd(length, 'x');

function setOf(value: string): PatternSet<ReturnType<typeof scrubPatterns>[number]['tag']> {
  const key = new SecretValue('KEY', Buffer.from(value, 'latin1'));
  return new PatternSet(scrubPatterns({ env: 'KEY', placeholder: standIn(value.length), value: key }));
}

/** What was found is written anew as the escape function of its spelling does it, which a stand-in needs only in base64 and hex. */
const SAME = /^(?:hex|base64)/;
function expected(name: string, value: string): string {
  const text = standIn(value.length);
  return SAME.test(name) ? (SPELLINGS[name]?.(text) ?? '') : text;
}

/** Line ends inside of a replaced key go, and letters of hex may be of either case where it has none. */
const calm = (text: string): string => text.replace(/\r?\n|\\n/g, '').toLowerCase();

describe('a key in an answer', () => {
  it('of any alphabet, spelt and cut in any way, becomes the placeholder, and nothing else changes', () => {
    fc.assert(
      fc.property(secret, places, cuts, (value, parts, lengths) => {
        const build = (spell: (name: string) => string): string =>
          parts.map(([[before, after], name]) => `\n ${before}${spell(name)}${after}`).join('');
        const bytes = Buffer.from(
          build((name) => SPELLINGS[name]?.(value) ?? ''),
          'latin1',
        );
        const set = setOf(value);
        const scrubber = new Scrubber(
          () => set,
          () => {},
        );
        const out: (string | Buffer)[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const to = at + (lengths[turn % lengths.length] ?? 1);
          scrubber.feed(bytes.subarray(at, to), out);
          at = to;
        }
        scrubber.end(out);
        const got = out
          .map((piece) => (typeof piece === 'string' ? piece : piece.toString('latin1')))
          .join('');
        expect(calm(got)).toBe(calm(build((name) => expected(name, value))));
      }),
      { numRuns: RUNS },
    );
  });

  it('in a field, the redirect among them, becomes the placeholder on its line', () => {
    const names = Object.keys(SPELLINGS).filter((name) => !name.includes('lines'));
    fc.assert(
      fc.property(secret, fc.constantFrom(...names), (value, name) => {
        const build = (text: string): string =>
          `HTTP/1.1 302 Found\r\nLocation: https://x.test/?a=1&k=${text}&b=2\r\nSet-Cookie: s="${text}"; Path=/\r\n\r\n`;
        const got = scrubFields(build(SPELLINGS[name]?.(value) ?? ''), setOf(value), () => {});
        expect(got.toLowerCase()).toBe(build(expected(name, value)).toLowerCase());
      }),
      { numRuns: 2000 },
    );
  });

  it('that is not whole stays as it is: nobody can try one out piece by piece', () => {
    fc.assert(
      fc.property(
        secret,
        // The others put text beside it that could make it whole.
        fc.constantFrom(...Object.keys(SPELLINGS).filter((name) => !/^base64 ?(?:,|in)/.test(name))),
        fc.nat(15),
        fc.boolean(),
        (value, name, short, front) => {
          const part = front ? value.slice(1 + short) : value.slice(0, -1 - short);
          fc.pre(part.length > 0 && !part.includes(value));
          const text = `\u0000${SPELLINGS[name]?.(part) ?? ''}\u0000`;
          const set = setOf(value);
          const out = scrubWhole(Buffer.from(text, 'latin1'), { patterns: () => set, found: () => {} });
          expect(
            out.map((piece) => (typeof piece === 'string' ? piece : piece.toString('latin1'))).join(''),
          ).toBe(text);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
