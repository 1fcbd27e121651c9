import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseProxyAuthorization } from '../../src/identify/credential.ts';

const printable = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
});

describe('parseProxyAuthorization', () => {
  it('reads any bytes without throwing, and never takes a present field for an absent one', () => {
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string().map((text) => `Basic ${text}`),
      fc.base64String().map((text) => `Basic ${text}`),
      fc.string().map((text) => `Bearer ${text}`),
    );
    fc.assert(
      fc.property(value, (text) => {
        expect(parseProxyAuthorization(text).kind).not.toBe('none');
      }),
      { numRuns: 1000 },
    );
  });

  it('gives back the very password that a client put into Basic', () => {
    const label = printable.filter((text) => !text.includes(':'));
    const token = printable.filter((text) => text.length > 0);
    fc.assert(
      fc.property(label, token, (user, password) => {
        const value = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
        expect(parseProxyAuthorization(value)).toEqual({ kind: 'token', token: password });
      }),
    );
  });

  it('knows one spelling of a Basic value only', () => {
    fc.assert(
      fc.property(fc.base64String({ minLength: 4 }), fc.base64String({ minLength: 4 }), (one, two) => {
        const [a, b] = [parseProxyAuthorization(`Basic ${one}`), parseProxyAuthorization(`Basic ${two}`)];
        const bytes = (text: string): string => Buffer.from(text, 'base64').toString('latin1');
        if (a.kind === 'token' && b.kind === 'token' && bytes(one) === bytes(two)) expect(one).toBe(two);
      }),
    );
  });
});
