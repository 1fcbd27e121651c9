import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitCommand } from '../../../src/policy/command-line.ts';

describe('the line of a command source', () => {
  it.each([
    ['words', 'pass show api/openai', ['pass', 'show', 'api/openai']],
    ['blanks of all kinds around them', '  a \t b  ', ['a', 'b']],
    ['single quotes, which keep everything', `a '$x \\ "y" ; #'`, ['a', '$x \\ "y" ; #']],
    [
      'double quotes with their two escapes',
      String.raw`a "b \"c\" \\d ; '*'"`,
      ['a', String.raw`b "c" \d ; '*'`],
    ],
    ['parts that touch', `--key='a b'"c"d`, ['--key=a bcd']],
    ['an empty word', `a '' ""`, ['a', '', '']],
    [
      'what only looks like a shell word',
      'op read op://a/b#c~d {e} f=g%h@i,j:k+l!',
      ['op', 'read', 'op://a/b#c~d', '{e}', 'f=g%h@i,j:k+l!'],
    ],
  ])('is split at blanks: %s', (_what, line, words) => {
    expect(splitCommand(line)).toEqual({ words });
  });

  it.each([
    ['a variable', 'echo $KEY', /single quotes/],
    ['a pipe', 'a | b', /put \|/],
    ['another command', 'a; b', /put ;/],
    ['a redirection', 'cat < f', /put </],
    ['a pattern', 'cat *.key', /put \*/],
    ['a backslash outside quotes', 'a\\ b', /put \\/],
    ['the home folder', '~/bin/key', /put ~/],
    ['a comment', 'a # b', /put #/],
    ['a variable in double quotes', 'a "$b"', /use 'single quotes'/],
    ['an escape that double quotes do not have', 'a "\\n"', /backslash/],
    ['an open single quote', "a 'b", /not closed/],
    ['an open double quote', 'a "b', /not closed/],
    ['an escape at the end', 'a "b\\', /backslash|closed/],
    ['two lines', 'a\nb', /one line/],
    ['nothing', '  ', /no program/],
    ['an empty program', "'' a", /no program/],
    ['a very long line', 'a'.repeat(9000), /longer/],
  ])('is refused where a shell would do more with it: %s', (_what, line, problem) => {
    expect(splitCommand(line)).toEqual({ problem: expect.stringMatching(problem) as string });
  });

  it('gives back any words that were put into single quotes, and never throws', () => {
    const word = fc.string().filter((text) => !/[\0\r\n']/.test(text));
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }).filter((text) => !/[\0\r\n']/.test(text)),
        fc.array(word),
        (first, rest) => {
          const words = [first, ...rest];
          expect(splitCommand(words.map((one) => `'${one}'`).join(' '))).toEqual({ words });
        },
      ),
      { numRuns: 50 },
    );
    fc.assert(
      fc.property(fc.string(), (line) => void splitCommand(line)),
      { numRuns: 50 },
    );
  });
});
