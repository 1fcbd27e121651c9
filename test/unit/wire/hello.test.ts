import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { HelloReader } from '../../../src/wire/hello.ts';
import {
  alpn,
  extension,
  type HelloParts,
  helloMessage,
  records,
  serverName,
  vector,
} from './hello-bytes.ts';

const none = Buffer.alloc(0);

function read(raw: Buffer, maxBytes?: number): string {
  const answer = new HelloReader(maxBytes).feed(raw);
  return answer.kind === 'bad' ? `bad: ${answer.why}` : answer.kind;
}

const parts = (with_: HelloParts): string => read(records(helloMessage(with_)));

describe('HelloReader', () => {
  it('tells server name, ALPN and ECH, and keeps all bytes', () => {
    const raw = records(
      helloMessage({
        extensions: [
          serverName('API.Example.com'),
          alpn('h2', 'http/1.1'),
          extension(0xfe0d, Buffer.from([0, 0, 1])),
          extension(10, none),
        ],
      }),
    );
    const answer = new HelloReader().feed(Buffer.concat([raw, Buffer.from('early data')]));
    expect(answer).toMatchObject({
      kind: 'hello',
      sni: 'api.example.com',
      alpn: ['h2', 'http/1.1'],
      ech: true,
    });
    expect(answer.kind === 'hello' && answer.bytes.subarray(raw.length).toString()).toBe('early data');
  });

  it.each([
    ['no extensions block', { extensions: null }],
    ['an empty extensions block', { extensions: [] }],
    ['TLS 1.0', { version: 0x0301, extensions: null }],
    ['an empty session id', { sessionId: none }],
    ['a deflate method beside null', { compression: Buffer.from([1, 0]) }],
    ['pre_shared_key as the last one', { extensions: [serverName('up.test'), extension(41, none)] }],
  ])('accepts %s', (_title, with_) => {
    expect(parts(with_)).toBe('hello');
  });

  it.each([
    ['SSL 3.0', { version: 0x0300 }],
    ['a legacy version of 0x0304', { version: 0x0304 }],
    ['a session id of 33 bytes', { sessionId: Buffer.alloc(33) }],
    ['no cipher suites', { ciphers: none }],
    ['an odd cipher list', { ciphers: Buffer.alloc(3) }],
    ['no compression method', { compression: none }],
    ['no null compression', { compression: Buffer.from([1]) }],
    ['bytes behind the extensions', { trailing: Buffer.from([0]) }],
    ['a lone byte instead of extensions', { extensions: null, trailing: Buffer.from([0]) }],
    ['an extension that is cut short', { extensions: [Buffer.from([0, 10, 0, 9, 1])] }],
    ['an extension header that is cut short', { extensions: [Buffer.from([0, 10, 0])] }],
    ['an extension twice', { extensions: [extension(10, none), extension(10, none)] }],
    ['an extension behind pre_shared_key', { extensions: [extension(41, none), serverName('up.test')] }],
    ['outer extensions in the outer hello', { extensions: [extension(0xfd00, none)] }],
  ])('refuses %s', (_title, with_) => {
    expect(parts(with_)).toMatch(/^bad/);
  });

  it.each([
    ['an empty name', serverName('')],
    ['an IPv4 address', serverName('192.0.2.1')],
    ['an IPv6 address', serverName('2001:db8::1')],
    ['a bracketed address', serverName('[::1]')],
    ['a port', serverName('up.test:443')],
    ['a trailing dot', serverName('up.test.')],
    ['a non-ASCII byte', serverName(Buffer.from([0x75, 0xe9]))],
    ['NUL', serverName('up.test\0.evil.test')],
    ['a zone', serverName('::1%up.test')],
    ['white space', serverName(' up.test')],
    ['a wildcard', serverName('*.test')],
    ['another name type', serverName('up.test', 1)],
    ['an empty list', extension(0, vector(2))],
    ['no list', extension(0, none)],
    ['bytes behind the list', extension(0, Buffer.concat([vector(2, none), none, Buffer.from([1])]))],
    ['a list of two', extension(0, vector(2, Buffer.from([0, 0, 1, 97, 0, 0, 1, 98])))],
    ['a name longer than the list', extension(0, vector(2, Buffer.from([0, 0, 9, 97])))],
  ])('refuses a server_name with %s', (_title, bytes) => {
    expect(parts({ extensions: [bytes] })).toBe('bad: malformed server_name');
  });

  it.each([
    ['no list', extension(16, none)],
    ['an empty list', extension(16, vector(2))],
    ['an empty name', alpn('h2', '')],
    [
      'bytes behind the list',
      extension(16, Buffer.concat([vector(2, vector(1, Buffer.from('h2'))), none, Buffer.from('x')])),
    ],
    ['a name cut short', extension(16, vector(2, Buffer.from([9, 97])))],
  ])('refuses an ALPN extension with %s', (_title, bytes) => {
    expect(parts({ extensions: [bytes] })).toMatch(/^bad: malformed application/);
  });

  it('reassembles over records of one byte, with the handshake header split', () => {
    for (const size of [1, 2, 3, 4, 5, 50]) expect(read(records(helloMessage(), size))).toBe('hello');
  });

  it.each([
    ['an alert', Buffer.from([21, 3, 3, 0, 2, 2, 40])],
    ['HTTP', Buffer.from('GET / HTTP/1.1')],
    ['record version 2', Buffer.from([22, 2])],
    ['record version 3.4', Buffer.from([22, 3, 4])],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
    ['a record of 2^14 + 257', Buffer.from([22, 3, 1, 0x41, 0x01])],
    ['a ServerHello', Buffer.from([22, 3, 1, 0, 4, 2])],
    ['a second message in the record', records(Buffer.concat([helloMessage(), Buffer.from([11, 0, 0, 0])]))],
  ])('refuses %s as soon as it shows', (_title, raw) => {
    expect(read(raw)).toMatch(/^bad/);
  });

  it('refuses another record type between the pieces of the message', () => {
    const [first, second] = [records(helloMessage().subarray(0, 20)), records(helloMessage().subarray(20))];
    expect(read(Buffer.concat([first, second]))).toBe('hello');
    expect(read(Buffer.concat([first, Buffer.from([20, 3, 3, 0, 1, 1]), second]))).toMatch(/^bad/);
  });

  it('caps the message by what it announces, and everything fed', () => {
    const message = helloMessage({ extensions: [extension(21, Buffer.alloc(1_000))] });
    expect(read(records(message), message.length)).toBe('hello');
    expect(read(records(message), message.length - 1)).toBe('bad: ClientHello is too long');
    expect(read(records(message).subarray(0, 9), 100)).toBe('more');
    expect(read(records(message, 4).subarray(0, 9), 100)).toBe('bad: ClientHello is too long');
    expect(read(records(message, 1), message.length)).toMatch(/^bad: too many bytes/);
  });

  it('asks for more until the last byte, and keeps its answer', () => {
    const raw = records(helloMessage());
    const reader = new HelloReader();
    expect(reader.feed(none).kind).toBe('more');
    expect(reader.feed(raw.subarray(0, -1)).kind).toBe('more');
    const answer = reader.feed(raw.subarray(-1));
    expect(answer.kind).toBe('hello');
    expect(reader.feed(Buffer.from('x'))).toBe(answer);
    const bad = new HelloReader();
    expect(bad.feed(Buffer.from('x'))).toBe(bad.feed(raw));
  });

  it('copies: the read buffer may be overwritten', () => {
    const raw = Buffer.from(records(helloMessage()));
    const reader = new HelloReader();
    const half = raw.subarray(0, 100);
    reader.feed(half);
    half.fill(0);
    expect(reader.feed(raw.subarray(100))).toMatchObject({ kind: 'hello', sni: 'up.test' });
  });
});
