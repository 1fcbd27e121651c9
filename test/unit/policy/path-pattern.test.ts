import { describe, expect, it } from 'vitest';
import { canonicalPath, matchesPath, parsePathPattern } from '../../../src/policy/path-pattern.ts';

function matches(pattern: string, path: string): boolean | 'ambiguous_path' {
  const parsed = parsePathPattern(pattern);
  if (!('segments' in parsed)) throw new Error(parsed.message);
  const canonical = canonicalPath(path);
  return 'kind' in canonical ? 'ambiguous_path' : matchesPath(parsed, canonical);
}

describe('path patterns', () => {
  it.each([
    ['/v1/**', '/v1', true],
    ['/v1/**', '/v1/', true],
    ['/v1/**', '/v1/a/b/c', true],
    ['/v1/**', '/v2/a', false],
    ['/v1/**', '/v1x', false],
    ['/v1/*', '/v1/a', true],
    ['/v1/*', '/v1/', false],
    ['/v1/*', '/v1/a/b', false],
    ['/v1/*/files', '/v1/a/files', true],
    ['/**/files', '/files', true],
    ['/**/files', '/a/b/files', true],
    ['/**/files', '/a/b/files/x', false],
    ['/a/**/b/**/c', '/a/b/b/x/c', true],
    ['/a/**/b/**/c', '/a/x/c', false],
    ['/', '/', true],
    ['/', '/a', false],
    ['/**', '/', true],
    ['/v1/models', '/v1/models?x=/../y', true],
    ['/v1/models', '/v1/models/', false],
    ['/v1/models', '/V1/models', false],
    ['/admin/**', '/%61dmin/x', true],
    ['/a%2Fb', '/a%2fb', true],
    ['/a/b', '/a%2fb', false],
    ['/*', '/a%2fb', true],
    ['/a b'.replace(' ', '%20'), '/a%20b', true],
    ['/x;y=1', '/x;y=1', true],
    ['/x', '/x;y=1', false],
    ['/caf%C3%A9', '/caf%c3%a9', true],
  ])('%s and %s: %s', (pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected);
  });

  it.each([
    '/v1/../admin',
    '/v1/..',
    '/v1/./x',
    '/.',
    '/v1/%2e%2e/admin',
    '/v1/.%2E/admin',
    '/v1/..;x/admin',
    '/v1/..%3bx/admin',
    '/v1/.;/admin',
    '/v1/..%2fadmin',
    '/v1\\admin',
    '/v1%5cadmin',
    '/v1/%00',
    '/v1/%',
    '/v1/%4',
    '/v1/%zz',
    '/v1/%u002e%u002e/x',
    '/v1/%c0%ae%c0%ae/admin',
    '/v1/%e0%80%ae/admin',
    '/v1/%f0%80%80%ae/admin',
    '/v1/%C0%AE/admin',
    '/v1/%252e%252e/admin',
    '/v1/%25252e%25252e/admin',
    '/v1/..%252fadmin',
    '/v1/%255cadmin',
    '//v1',
    '/v1//admin',
    '/v1//',
    '*',
    '',
    'v1',
  ])('%s is ambiguous', (path) => {
    expect(canonicalPath(path)).toMatchObject({ kind: 'deny', reason: 'ambiguous_path' });
  });

  it.each(['/', '/v1/', '/...', '/.hidden', '/a..b', '/v1/..x', '/a;b', '/a%2Fb', '/%7Euser', '/100%25'])(
    '%s is not',
    (path) => {
      expect(canonicalPath(path)).toHaveProperty('segments');
    },
  );

  it.each([
    ['v1/**', 'write "/v1/**"'],
    ['/v1?x=1', 'write "/v1"'],
    ['/v1/foo*', 'write "*" for "foo*"'],
    ['/v1/a b', 'write "/v1/a%20b"'],
    ['/v1/../x', 'write it without dot or empty segments, backslashes and doubtful escapes'],
  ])('the pattern %s is refused with the fix %s', (text, fix) => {
    expect(parsePathPattern(text)).toMatchObject({ fix });
  });

  it('does not slow down on patterns and paths made to be slow', () => {
    const pattern = parsePathPattern(`${'/**/a'.repeat(30)}/b`);
    const path = canonicalPath('/a'.repeat(8000));
    if (!('segments' in pattern) || 'kind' in path) throw new Error('both are legal');
    const before = performance.now();
    expect(matchesPath(pattern, path)).toBe(false);
    expect(performance.now() - before).toBeLessThan(1000);
  });
});
