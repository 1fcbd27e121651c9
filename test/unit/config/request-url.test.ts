import { describe, expect, it } from 'vitest';
import { parseEndpoint, parsePeer } from '../../../src/config/endpoint.ts';
import { nearestWord, suggest } from '../../../src/config/nearest.ts';
import { parseWrittenRequest } from '../../../src/config/request-url.ts';

describe('a written request', () => {
  it.each([
    [
      'https://A.test',
      { scheme: 'https', at: { host: 'a.test', port: 443 }, facts: { method: 'GET', path: '/' } },
    ],
    [
      'POST https://a.test:8443/x?y=1#z'.replace('#z', ''),
      { at: { port: 8443 }, facts: { method: 'POST', path: '/x?y=1' } },
    ],
    ['GET http://a.test?q', { scheme: 'http', at: { port: 80 }, facts: { path: '/?q' } }],
    ['GET https://[2001:db8::1]/', { at: { host: '2001:db8::1', kind: 'ipv6' } }],
    ['GET wss://a.test/socket', { scheme: 'https', facts: { protocol: 'websocket' } }],
    ['CONNECT a.test:8443', { at: { host: 'a.test', port: 8443 }, facts: null }],
    ['CONNECT a.test', { at: { port: 443 }, facts: null }],
  ])('%s is read', (text, request) => {
    expect(parseWrittenRequest(text)).toMatchObject(request);
  });

  it.each([
    '',
    'GET',
    'a.test',
    'GET ftp://a.test/',
    'GET https://user@a.test/',
    'GET https://127.1/',
    'GET https://a.test/#fragment',
    'GET https://a.test/a b',
    'GET https://a.test/ü',
    'G(T https://a.test/',
    'CONNECT a.test/x',
    'GET https://a.test/ HTTP/1.1 extra',
  ])('%j is refused in words', (text) => {
    expect(parseWrittenRequest(text)).toHaveProperty('problem');
  });
});

describe('addresses with ports', () => {
  it.each([
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['[::]:8080', { host: '::', port: 8080 }],
    ['localhost:8080', { host: 'localhost', port: 8080 }],
    ['proxy.internal:1', { host: 'proxy.internal', port: 1 }],
  ])('%s is one', (text, endpoint) => {
    expect(parseEndpoint(text)).toEqual(endpoint);
  });

  it.each([
    '8080',
    ':8080',
    '127.0.0.1',
    '127.1:80',
    '::1:80',
    '[::1]',
    'a.test:65536',
    'a.test:080',
    '256.0.0.1:1',
  ])('%s is none', (text) => {
    expect(parseEndpoint(text)).toBeNull();
  });

  it('a peer needs no port, but an address', () => {
    expect(parsePeer('10.0.0.2', 53)).toEqual({ host: '10.0.0.2', port: 53 });
    expect(parsePeer('[::1]', 53)).toEqual({ host: '::1', port: 53 });
    expect(parsePeer('10.0.0.2:0', 53)).toBeNull();
    expect(parsePeer('dns.example:53', 53)).toBeNull();
  });
});

describe('did you mean', () => {
  it('finds a slip, and lists what is known when there is none', () => {
    expect(nearestWord('alow', ['allow', 'deny'])).toBe('allow');
    expect(nearestWord('dney', ['allow', 'deny'])).toBe('deny');
    expect(nearestWord('x', ['allow', 'deny'])).toBeNull();
    expect(suggest('x', ['allow', 'deny'])).toBe('known: allow, deny');
    expect(suggest('x', [])).toBe('remove it');
  });
});
