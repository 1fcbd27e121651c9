import { describe, expect, it } from 'vitest';
import { MAX_FIELD_CHARS, redactPath } from '../../../src/audit/redact.ts';

const ROWS: readonly (readonly [string, string, string])[] = [
  ['a plain path stays', '/v1/models', '/v1/models'],
  ['query values go', '/v1/x?token=abc&b=2', '/v1/x?…'],
  ['a query without values goes as well', '/search?words', '/search?…'],
  ['an empty query stays as it came', '/v1/x?', '/v1/x?'],
  ['a fragment goes', '/v1/x#secret', '/v1/x?…'],
  ['a fragment before a question mark goes', '/v1/x#a?b', '/v1/x?…'],
  ['the asterisk form stays', '*', '*'],
  ['user information of an absolute form goes', 'http://me:pw@host/x?y=z', 'http://…@host/x?…'],
  ['an at sign in a path is no user information', '/@scope/package', '/@scope/package'],
  ['percent escapes stay byte for byte', '/a%2Fb', '/a%2Fb'],
];

describe('what of a path is recorded', () => {
  it.each(ROWS)('%s', (_title, path, kept) => {
    expect(redactPath(path, null)).toBe(kept);
  });

  it('keeps nothing of a path whose request held a real key', () => {
    expect(redactPath('/bot123:SECRET/send?x=1', 'secret_leak')).toBe('/…');
  });

  it('caps the length and shows that it did', () => {
    const kept = redactPath(`/${'a'.repeat(10_000)}`, null);
    expect(kept).toHaveLength(MAX_FIELD_CHARS);
    expect(kept.endsWith('…')).toBe(true);
  });
});
