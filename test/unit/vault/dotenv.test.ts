import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDotenv } from '../../../src/vault/dotenv.ts';

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
    ['quoted parts that touch, as programs write an apostrophe', "A='it'\\''s'\nB=c", { A: "it's", B: 'c' }],
    ['quotes of both kinds that touch', `A='b '"c # d" # e`, { A: 'b c # d' }],
    ['dollar quotes', "A=$'b\\n\\'c\\'' # d", { A: "b\n'c'" }],
    ['names that stand twice: the last counts', 'A=1\nA=2', { A: '2' }],
    ['nothing', '', {}],
  ])('reads %s', (_what, text, expected) => {
    expect(values(text)).toEqual(expected);
  });

  it('tells names that stand there again, with the line of the later one', () => {
    const { repeated } = parseDotenv('A=1\nB=2\n# A\nA=3\nA="4"\n');
    expect(repeated).toEqual([
      { name: 'A', line: 4 },
      { name: 'A', line: 5 },
    ]);
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

describe('what a program prints for a shell', () => {
  const shell = (text: string) => parseDotenv(text, { shell: true });

  it.each([
    ['one export each line', 'export A=b\nexport B=c\n', { A: 'b', B: 'c' }],
    ['several of one export', "export A=b B='c d' # e\nexport C=d", { A: 'b', B: 'c d', C: 'd' }],
    ['statements on one line', 'export A=b; export B=c;\nC=d;', { A: 'b', B: 'c', C: 'd' }],
    ['an unquoted value with escapes', 'export A=a\\ b\\\\c\\&d', { A: 'a b\\c&d' }],
    ['a line that goes on', 'export A=b\\\nc', { A: 'bc' }],
    ['an unquoted value with signs: nothing is expanded', 'export A=a$b;c#d&e', { A: 'a$b;c#d&e' }],
    ['an empty value', 'export A=\nexport B=c', { A: '', B: 'c' }],
    ['CRLF between lines', 'export A=b\r\n# c\r\nexport B="d"\r\n', { A: 'b', B: 'd' }],
    ['CRLF inside a value', "export A='b\r\nc'", { A: 'b\r\nc' }],
    [
      'several lines',
      'export A="-----BEGIN\nb\n-----END"\nexport B=c',
      { A: '-----BEGIN\nb\n-----END', B: 'c' },
    ],
  ])('reads %s', (_what, text, expected) => {
    const { entries, faults } = shell(text);
    expect(faults).toEqual([]);
    expect(Object.fromEntries(entries.map(({ name, value }) => [name, value]))).toEqual(expected);
  });

  it.each([
    ['words of a value without quotes', 'export A=sk-secret two words', 1],
    ['another command', 'export A=b\nrm -rf x', 2],
    ['a name that a shell does not take', 'export A.B=c', 1],
    ['an open quote', "export A=b\nexport B='sk-secret\nexport C=d", 2],
    [
      'more values than anybody has',
      Array.from({ length: 20_000 }, (_, at) => `A${at}=1\n`).join(''),
      10_001,
    ],
  ])('is at fault with %s', (_what, text, line) => {
    const { faults } = shell(text);
    expect(faults[0]?.line).toBe(line);
    expect(JSON.stringify(faults)).not.toContain('sk-secret');
  });
});
