/** What rules `learn` makes of what was seen. */
import { describe, expect, it } from 'vitest';
import { learnRules, type Observation } from '../../../src/policy/learn.ts';
import { pathPatterns, plainPath } from '../../../src/policy/learn-paths.ts';

const seen = (more: Partial<Observation>): Observation => ({
  host: 'api.example.com',
  port: 443,
  method: null,
  path: null,
  scheme: 'https',
  calls: 1,
  first: '2026-11-22T10:00:00.000Z',
  last: '2026-11-22T10:00:00.000Z',
  ...more,
});
const read = (method: string, path: string): Observation => seen({ method, path });

describe('learned rules', () => {
  it('name host and port alone where only the connection was seen', () => {
    const { rules } = learnRules([seen({}), seen({ port: 8443 }), seen({ host: '2001:db8::1' })], 5);
    expect(rules.map(({ allow, methods, paths }) => [allow, methods, paths])).toEqual([
      ['[2001:db8::1]:443', null, null],
      ['api.example.com:443', null, null],
      ['api.example.com:8443', null, null],
    ]);
  });

  it('name methods and paths where requests were read, methods with the same paths together', () => {
    const { rules } = learnRules(
      [read('GET', '/v1/models'), read('POST', '/v1/chat'), read('HEAD', '/v1/models')],
      5,
    );
    expect(rules.map(({ methods, paths }) => [methods, paths])).toEqual([
      [['GET', 'HEAD'], ['/v1/models']],
      [['POST'], ['/v1/chat']],
    ]);
  });

  it('open the host where some of its connections were not read', () => {
    const { rules } = learnRules([read('GET', '/a'), seen({})], 5);
    expect(rules.map(({ methods, paths }) => [methods, paths])).toEqual([[null, null]]);
  });

  it('leave out paths that a rule could not name', () => {
    const { rules, left } = learnRules([read('GET', '/a/../b'), read('GET', '/long…'), read('GET', '/c')], 5);
    expect(rules.map(({ paths }) => paths)).toEqual([['/c']]);
    expect(left.map(({ why }) => why)).toEqual([
      'its path can be read in two ways',
      'the record does not keep its whole path',
    ]);
  });
});

describe('path patterns', () => {
  it.each([
    ['few', ['/a/1', '/a/2'], ['/a/1', '/a/2']],
    ['many at one place', ['/a/1', '/a/2', '/a/3'], ['/a/*']],
    ['many, with more behind', ['/u/1/x', '/u/2/x', '/u/3/y'], ['/u/*/x', '/u/*/y']],
    ['a trailing slash stays', ['/a/1', '/a/2', '/a/3', '/a/'], ['/a/', '/a/*']],
    ['of different depth', ['/a', '/a/b/c'], ['/a', '/a/b/c']],
    ['a star in a segment', ['/f/a*b'], ['/f/*']],
    ['escapes stay', ['/f/a%20b'], ['/f/a%20b']],
    ['the root', ['/'], ['/']],
  ])('%s', (_name, paths, patterns) => {
    expect(pathPatterns(paths, 3)).toEqual(patterns);
  });

  it('never are more than a person reads', () => {
    const odd = Array.from({ length: 300 }, (_, n) => `/${n % 4}/${'x/'.repeat(n % 40)}${n}`);
    expect(pathPatterns(odd, 1000).length).toBeLessThanOrEqual(20);
  });

  it('are not made of what has a dot segment or no leading slash', () => {
    expect([plainPath('/a/%2e%2e/b'), plainPath('*'), plainPath('/a?b=/c')]).toEqual([null, null, '/a']);
  });
});
