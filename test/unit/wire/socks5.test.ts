import { describe, expect, it } from 'vitest';
import { type SocksEvent, SocksReader } from '../../../src/wire/socks5.ts';
import { greetingBytes, loginBytes, requestBytes } from '../../helpers/socks.ts';

/** All events of bytes that came in one piece. */
function events(...parts: Buffer[]): SocksEvent[] {
  const reader = new SocksReader();
  reader.push(Buffer.concat(parts));
  const found: SocksEvent[] = [];
  for (let event = reader.read(); event.kind !== 'more'; event = reader.read()) found.push(event);
  return found;
}

const asked = (request: Buffer): SocksEvent | undefined => events(greetingBytes(0), request)[1];

describe('the methods of a greeting', () => {
  it.each([
    ['a login where it is offered', [0, 2], 2],
    ['a login among methods that we do not know', [1, 0x80, 2], 2],
    ['none where that is all', [0], 0],
    ['none beside GSSAPI', [1, 0], 0],
    ['nothing that could be used', [1, 3], 0xff],
    ['an empty list', [], 0xff],
  ])('%s', (_what, methods, method) => {
    expect(events(greetingBytes(...methods))).toEqual([{ kind: 'greeting', method }]);
  });

  it('read nothing more when none could be used', () => {
    expect(events(greetingBytes(1), requestBytes('a.test:443'))).toHaveLength(1);
  });
});

describe('a login', () => {
  it('gives the password; the user part is a label', () => {
    const [, login] = events(greetingBytes(2), loginBytes('token', 'anybody'));
    expect(login).toEqual({ kind: 'login', password: 'token' });
  });

  it('may be empty in both parts', () => {
    expect(events(greetingBytes(2), loginBytes('', ''))[1]).toEqual({ kind: 'login', password: '' });
  });

  it('of another version is malformed', () => {
    expect(events(greetingBytes(2), Buffer.from([5, 1, 0, 1]))[1]).toMatchObject({ kind: 'bad' });
  });
});

describe('a request', () => {
  it.each([
    ['a name', 'api.test:443', { host: 'api.test', kind: 'name', port: 443 }],
    ['a name in upper case with its dot', 'API.test.:443', { host: 'api.test', kind: 'name', port: 443 }],
    ['an IPv4 address', '8.8.8.8:80', { host: '8.8.8.8', kind: 'ipv4', port: 80 }],
    ['an IPv6 address', '[2001:db8:0:0::1]:8443', { host: '2001:db8::1', kind: 'ipv6', port: 8443 }],
    ['an IPv4-mapped address, which stays what it is', '[::ffff:7f00:1]:443', { host: '::ffff:7f00:1' }],
  ])('for %s has one canonical target', (_what, at, target) => {
    expect(asked(requestBytes(at))).toMatchObject({ kind: 'request', command: 'connect', at: target });
  });

  it.each([
    ['port 0', requestBytes('api.test:0')],
    ['an empty name', requestBytes(':443')],
    ['a NUL', requestBytes('api.test\0.evil.test:443')],
    ['a zone id', requestBytes('fe80::1%eth0.api.test:443', { asName: true })],
    ['bytes beyond ASCII', requestBytes('\u00fcber.test:443')],
    ['a port inside the name', requestBytes('api.test:443:443')],
    ['brackets', requestBytes('[::1]:443', { asName: true })],
    ['IPv6 text', requestBytes('::1:443', { asName: true })],
    ['a decimal number', requestBytes('2130706433:443')],
    ['a hex number', requestBytes('0x7f000001:443')],
    ['an octal number', requestBytes('0177.0.0.1:443')],
    ['two dots', requestBytes('api..test:443')],
    ['user information', requestBytes('a@api.test:443')],
  ])('with %s in its host is bad_authority', (_what, request) => {
    expect(asked(request)).toMatchObject({ kind: 'request', at: { kind: 'deny', reason: 'bad_authority' } });
  });

  it.each([
    [2, 'bind'],
    [3, 'udp-associate'],
    [0, 'unknown'],
    [9, 'unknown'],
  ])('with command %i is %s, read to its end', (command, name) => {
    expect(asked(requestBytes('api.test:443', { command }))).toMatchObject({
      kind: 'request',
      command: name,
    });
  });

  it.each([
    ['another version', [4, 1, 0, 1], undefined],
    ['a reserved byte that is not zero', [5, 1, 1, 1], undefined],
    ['an address type of no RFC', [5, 1, 0, 2], 8],
  ])('with %s is malformed at once', (_what, bytes, code) => {
    const bad = asked(Buffer.from(bytes));
    expect(bad).toMatchObject({ kind: 'bad', why: { reason: 'bad_request' } });
    expect(bad?.kind === 'bad' ? bad.code : null).toBe(code);
  });

  it('hands back what came behind it', () => {
    const found = asked(Buffer.concat([requestBytes('api.test:443'), Buffer.from('early')]));
    expect(found?.kind === 'request' ? found.rest.toString() : null).toBe('early');
  });
});
