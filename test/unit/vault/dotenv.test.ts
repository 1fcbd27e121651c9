import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { awsGroups, parseDotenv } from '../../../src/vault/dotenv.ts';

function values(text: string): Record<string, string> {
  const { entries, faults } = parseDotenv(text);
  expect(faults).toEqual([]);
  return Object.fromEntries(entries.map(({ name, value }) => [name, value]));
}

describe('a .env file', () => {
  it.each([
    ['a plain value', 'A=b', { A: 'b' }],
    ['export', 'export A=b\n\texport  B=c', { A: 'b', B: 'c' }],
    ['spaces around', '  A = b  ', { A: 'b' }],
    ['a comment after a value', 'A=b # c', { A: 'b' }],
    ['a # inside a value', 'A=b#c', { A: 'b#c' }],
    ['comment and empty lines', '# A=1\n\n  # B=2\nC=3\n', { C: '3' }],
    ['CRLF', 'A=b\r\nC=d\r\n', { A: 'b', C: 'd' }],
    ['a byte order mark', '\uFEFFA=b', { A: 'b' }],
    ['double quotes', 'A="b # c"', { A: 'b # c' }],
    ['single quotes', "A='b \\n # $c'", { A: 'b \\n # $c' }],
    ['escapes in double quotes', 'A="b\\n\\"c\\" \\\\ \\$d \\x"', { A: 'b\n"c" \\ $d \\x' }],
    [
      'a value over several lines',
      'A="-----BEGIN\nabc\n-----END"\nB=c',
      { A: '-----BEGIN\nabc\n-----END', B: 'c' },
    ],
    ['several lines with CRLF', "A='1\r\n2'\r\nB=c", { A: '1\n2', B: 'c' }],
    ['a comment after a quote', 'A="b" # c\nB=d', { A: 'b', B: 'd' }],
    ['an empty value', 'A=\nB=""\nC= # c', { A: '', B: '', C: '' }],
    ['an equals sign in the value', 'A=b==', { A: 'b==' }],
    ['a dollar sign, which is not expanded', 'A=$B$(C)', { A: '$B$(C)' }],
    ['names that stand twice: the last counts', 'A=1\nA=2', { A: '2' }],
    ['nothing', '', {}],
  ])('reads %s', (_what, text, expected) => {
    expect(values(text)).toEqual(expected);
  });

  it.each([
    ['no equals sign', 'A=1\nnonsense\nB=2', 2],
    ['a name with a space', 'A B=1', 1],
    ['a quote that is not closed', 'A=1\n\nB="x\ny', 3],
    ['characters after the quote', 'A="x"y', 1],
  ])('is at fault with the line: %s', (_what, text, line) => {
    const { faults } = parseDotenv(text);
    expect(faults.map((fault) => fault.line)).toEqual([line]);
  });

  it('never quotes a value in a fault', () => {
    const { faults } = parseDotenv('KEY "sk-secret"\nB="sk-secret\n');
    expect(faults).not.toEqual([]);
    expect(JSON.stringify(faults)).not.toContain('sk-secret');
  });

  it('never throws, and gives back what was written in either quote', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        parseDotenv(text);
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (a, b) => {
        const clean = (text: string): string => text.replace(/\r\n/g, '\n').replace(/'/g, '');
        const quoted = clean(b).replace(/[\\"$`]/g, '\\$&');
        expect(values(`A='${clean(a)}'\nB="${quoted}"`)).toEqual({ A: clean(a), B: clean(b) });
      }),
    );
  });
});

describe('AWS sets', () => {
  it('belong together by what stands before their common names', () => {
    const names = [
      'AWS_ACCESS_KEY_ID',
      'AWS_SECRET_ACCESS_KEY',
      'PROD_AWS_ACCESS_KEY_ID',
      'PROD_AWS_SECRET_ACCESS_KEY',
      'PROD_AWS_SESSION_TOKEN',
      'TEST_AWS_ACCESS_KEY_ID',
      'OTHER',
    ];
    expect(Object.fromEntries(awsGroups(names))).toEqual({
      AWS_ACCESS_KEY_ID: 'AWS',
      AWS_SECRET_ACCESS_KEY: 'AWS',
      PROD_AWS_ACCESS_KEY_ID: 'PROD_AWS',
      PROD_AWS_SECRET_ACCESS_KEY: 'PROD_AWS',
      PROD_AWS_SESSION_TOKEN: 'PROD_AWS',
    });
  });
});
