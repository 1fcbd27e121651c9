/** What nobody writes, and no search may stumble over. */
import { describe, expect, it } from 'vitest';
import { buildLeakIndex } from '../../../src/secrets/leaks.ts';
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

describe('a key in capitals or small letters', () => {
  // Of names of hosts and of HTTP/2 fields nothing else is left; a UUID is good in either.
  const uuid = '3f2504e0-4f89-41d3-9a0c-0305e82c3301';
  const set = new PatternSet(
    scrubPatterns({ env: 'ID', placeholder: 'PLACEHOLDER', value: new SecretValue('ID', Buffer.from(uuid)) }),
  );

  it('becomes the placeholder', () => {
    for (const key of [PLAIN_REAL.toUpperCase(), PLAIN_REAL.toLowerCase()])
      expect(textOf(`https://${key}.x.test/`)).toBe(`https://${holder('TOKEN')}.x.test/`);
    expect(scrubFields(`X: ${uuid.toUpperCase()}`, set, () => {})).toBe('X: PLACEHOLDER');
  });

  it('is left alone where it is short: it could be any word', () => {
    const short = new PatternSet(
      scrubPatterns({ env: 'P', placeholder: 'Q', value: new SecretValue('P', Buffer.from('Password1')) }),
    );
    expect(scrubFields('X: password1 PASSWORD1 Password1', short, () => {})).toBe('X: password1 PASSWORD1 Q');
  });

  it('from a sandbox is a leak', () => {
    const leaks = buildLeakIndex({ current: [new SecretValue('ID', Buffer.from(uuid))], revoked: [] });
    expect(leaks.found(`GET /${uuid.toUpperCase()} HTTP/1.1`)).toBe(true);
    expect(leaks.found(`GET /${uuid.toUpperCase().slice(1)} HTTP/1.1`)).toBe(false);
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
