import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { parseProxyAuthorization, parseSocksPassword } from '../../../src/identify/credential.ts';

const basic = (text: string): string => `Basic ${Buffer.from(text, 'latin1').toString('base64')}`;
const TOKEN = `sp_tok_${'a'.repeat(16)}_${'b'.repeat(43)}`;

describe('the password of a SOCKS5 login', () => {
  it('is a token, or nothing where it is empty', () => {
    expect(parseSocksPassword(TOKEN)).toEqual({ kind: 'token', token: TOKEN });
    expect(parseSocksPassword('')).toEqual({ kind: 'none' });
  });

  it.each([
    ['a blank', 'a b'],
    ['a control character', 'a\x00'],
    ['a byte beyond ASCII', 'a\xfc'],
  ])('identifies nobody with %s in it', (_what, password) => {
    expect(parseSocksPassword(password)).toEqual({ kind: 'malformed' });
  });
});

describe('what counts as a credential', () => {
  it('is none when the field is absent', () => {
    expect(parseProxyAuthorization(null)).toEqual({ kind: 'none' });
  });

  it.each([
    ['Basic with the group as label', basic(`ai-agents:${TOKEN}`)],
    ['Basic without a label', basic(`:${TOKEN}`)],
    ['Basic with a label beyond ASCII', basic(`gr\xfcn:${TOKEN}`)],
    ['Basic in other letters', basic(`x:${TOKEN}`).replace('Basic', 'bAsIc')],
    ['Basic after two spaces', basic(`x:${TOKEN}`).replace(' ', '  ')],
    ['Bearer', `Bearer ${TOKEN}`],
    ['bearer in lower case', `bearer ${TOKEN}`],
  ])('takes the token of %s', (_what, value) => {
    expect(parseProxyAuthorization(value)).toEqual({ kind: 'token', token: TOKEN });
  });

  it('takes everything after the first colon as the password', () => {
    expect(parseProxyAuthorization(basic('a:b:c'))).toEqual({ kind: 'token', token: 'b:c' });
  });

  it.each([
    ['an empty field', ''],
    ['a scheme alone', 'Basic'],
    ['a scheme and a blank', 'Basic '],
    ['an unknown scheme', `Digest ${TOKEN}`],
    ['no scheme', TOKEN],
    ['a tab for the blank', `Bearer\t${TOKEN}`],
    ['two values', `Bearer ${TOKEN} ${TOKEN}`],
    ['a list', `Bearer ${TOKEN}, Basic eDp5`],
    ['a parameter', 'Basic realm="x"'],
    ['Basic that is not base64', 'Basic ####'],
    ['Basic without padding', 'Basic eDp5eg'],
    ['Basic with padding too many', 'Basic eDp5eg==='],
    ['Basic with bits left over', 'Basic eDp5eh=='],
    ['Basic in the URL alphabet', `Basic ${Buffer.from('x:\xff\xfe\xfd??', 'latin1').toString('base64url')}`],
    ['Basic with a blank inside', 'Basic eDp5 eg=='],
    ['Basic without a colon', basic(TOKEN)],
    ['Basic with an empty password', basic('group:')],
    ['Basic with a blank in the password', basic('g:a b')],
    ['Basic with a NUL', basic(`g\0:${TOKEN}`)],
    ['Basic with a line break', basic(`g:${TOKEN}\r\nX: y`)],
    ['Basic with a token beyond ASCII', basic('g:t\xf6ken')],
    ['a field longer than any credential', `Bearer ${'a'.repeat(4096)}`],
  ])('is malformed, not absent: %s', (_what, value) => {
    expect(parseProxyAuthorization(value)).toEqual({ kind: 'malformed' });
  });
});
