/** What waits of an answer tells nobody whether it is the beginning of a key: else it could be had character by character. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PatternSet } from '../../src/secrets/patterns.ts';
import { Scrubber, scrubPatterns } from '../../src/secrets/scrub.ts';
import { SecretValue } from '../../src/secrets/value.ts';
import { SPELLINGS } from '../helpers/key-spellings.ts';

const ALPHABETS = [
  'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789',
  '0123456789abcdef',
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=',
  '!"#$%&\'()*+,-./0123456789:;<=>?@ABC[\\]^_`abc{|}~\n ',
];
const keys = fc.constantFrom(...ALPHABETS).chain((alphabet) =>
  fc.tuple(
    fc.constantFrom(...alphabet.split('')),
    // White space around a key is not looked for.
    fc
      .string({ unit: fc.constantFrom(...alphabet.split('')), minLength: 16, maxLength: 64 })
      .map((value) => value.replace(/^[\n ]+|[\n ]+$/g, (white) => '!'.repeat(white.length))),
  ),
);

/** So many bytes of a text are not passed on before more comes. */
function held(text: string, { value, placeholder }: { value: string; placeholder: string }): number {
  const key = new SecretValue('KEY', Buffer.from(value, 'latin1'));
  const set = new PatternSet(scrubPatterns({ env: 'KEY', placeholder, value: key }));
  const scrubber = new Scrubber(
    () => set,
    () => {},
  );
  const out: (string | Buffer)[] = [];
  scrubber.feed(Buffer.from(text, 'latin1'), out);
  return text.length - out.reduce((sum, piece) => sum + piece.length, 0);
}

const KINDS = [/^[\w\-.~+/=:]*$/, /^[\w\-.~+/=: \0]*$/];

/** Of a key without other characters than tokens have, no others are guessed: they could not be the right ones. */
function isOfItsKind(other: string, value: string): boolean {
  return KINDS.find((kind) => kind.test(value))?.test(other) ?? true;
}

/**
 * Behind its first character, does the text end with a beginning of the key: it waits for that one, too. In base64
 * the first bits of a character are enough, so the last one is not compared.
 */
function beginsAgain(text: string, value: string): boolean {
  const within = Array.from(text.slice(1, -1), (_, at) => text.slice(at + 1, -1));
  return within.some((part) => value.startsWith(part)) || text.at(-1) === value[0];
}

describe('what waits for the rest of a key', () => {
  it('waits as long where its last character is another one, in every spelling', () => {
    const names = Object.keys(SPELLINGS).filter((name) => !/two bytes around|in lines, in JSON/.test(name));
    fc.assert(
      fc.property(keys, fc.constantFrom(...names), fc.nat(60), ([other, value], name, cut) => {
        const key = { value, placeholder: 'PLACEHOLDER' };
        // The first characters, an eighth of the key at most, may be told.
        const length = 9 + (cut % (value.length - 9));
        const spelt = (text: string): string => ` \u0000 ${SPELLINGS[name]?.(text) ?? ''}`;
        const texts = [value.slice(0, length), value.slice(0, length - 1) + other];
        // Keys that hold their own first characters again: those may be told, wherever they stand.
        fc.pre(isOfItsKind(other, value));
        fc.pre(!texts.some((text) => beginsAgain(text, value)));
        const [right = '', wrong = ''] = texts.map(spelt);
        fc.pre(right.length === wrong.length);
        expect(held(wrong, key)).toBe(held(right, key));
      }),
      // The other character is in no spelling of the key.
      {
        numRuns: 6000,
        examples: [
          [['=', 'AAAAAAAA/AAAAAAAA'], 'percent', 0],
          [['\n', 'abcdefghijklmn\\p'], 'JSON', 6],
        ],
      },
    );
  });

  it('tells nothing behind the prefix that key and placeholder share', () => {
    fc.assert(
      fc.property(keys, ([other, value]) => {
        fc.pre(/^[\w\-.~+/=:]*$/.test(`${other}${value}`));
        const key = { value: `ghp_${value}`, placeholder: 'ghp_*' };
        const guesses = ['', other, value.slice(0, 1), value.slice(0, 2), `${value.slice(0, 1)}${other}`];
        for (const guess of guesses) expect(held(` ghp_${guess}`, key)).toBe(4 + guess.length);
      }),
      { numRuns: 1000 },
    );
  });

  it('is short all the same: ordinary text, events and what ends otherwise than a key go on at once', () => {
    const key = { value: 'ghp_0123456789abcdefghijklmnopqrstuvwxyz', placeholder: 'ghp_PLACEHOLDER' };
    for (const text of [
      'data: {"token":"ghp_0123"}\n\n',
      'the token ghp_0123 is',
      'words and words',
      '{"a":[1,2]}',
    ])
      expect(held(text, key)).toBe(0);
  });
});
