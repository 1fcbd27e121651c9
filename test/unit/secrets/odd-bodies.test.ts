/** What nobody writes, and no search may stumble over. */
import { describe, expect, it } from 'vitest';
import { PatternSet } from '../../../src/secrets/patterns.ts';
import { scrubFields, scrubPatterns, scrubWhole } from '../../../src/secrets/scrub.ts';
import { SecretValue } from '../../../src/secrets/value.ts';
import { holder, PLAIN_REAL } from './bodies.ts';

const SET = new PatternSet(
  scrubPatterns({
    env: 'KEY',
    placeholder: holder('TOKEN'),
    value: new SecretValue('KEY', Buffer.from(PLAIN_REAL)),
  }),
);
const textOf = (text: string): string => {
  const out = scrubWhole(Buffer.from(text, 'latin1'), { patterns: () => SET, found: () => {} });
  return out.map((piece) => piece.toString('latin1')).join('');
};

describe('a key in UTF-16', () => {
  const wide = (text: string, swap: boolean): string => {
    const bytes = Buffer.from(text, 'utf16le');
    return (swap ? bytes.swap16() : bytes).toString('latin1');
  };

  it.each([
    ['little', false],
    ['big', true],
  ])('of %s order becomes the placeholder in UTF-16', (_order, swap) => {
    const said = (key: string): string => wide(`\ufeff{"key":"${key}"} ü`, swap);
    expect(textOf(said(PLAIN_REAL))).toBe(said(holder('TOKEN')));
  });
});

describe('a name of a reference that is no name of a character', () => {
  it.each(['&toString;', '&valueOf;', '&constructor;', '&hasOwnProperty;', '&__proto__;'])(
    '%s passes in fields and bodies, and a key behind it does not',
    (name) => {
      expect(textOf(`<p>${name} ${PLAIN_REAL}</p>`)).toBe(`<p>${name} ${holder('TOKEN')}</p>`);
      expect(scrubFields(`X: ${name} ${PLAIN_REAL}`, SET, () => {})).toBe(`X: ${name} ${holder('TOKEN')}`);
    },
  );
});
