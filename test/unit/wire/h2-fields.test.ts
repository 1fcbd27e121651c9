import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  printRequest,
  printResponse,
  printTrailers,
  requestFields,
  responseFields,
  trailerFields,
} from '../../../src/wire/h2-fields.ts';
import { parseRequestHead, parseResponseHead } from '../../../src/wire/http1-parse.ts';

const START = [':method', 'GET', ':scheme', 'https', ':authority', 'a.test', ':path', '/x?y'];

describe('an HTTP/2 request as an HTTP/1.1 head', () => {
  it('says the same, Host first', () => {
    const printed = printRequest([...START, 'x-a', '1', 'accept', '*/*'], true);
    expect(printed).toEqual({
      kind: 'head',
      chunked: false,
      text: 'GET /x?y HTTP/1.1\r\nHost: a.test\r\nx-a: 1\r\naccept: */*',
    });
  });

  it('has its cookies in one field, and its body framed', () => {
    const fields = [...START.with(1, 'POST'), 'cookie', 'a=1', 'x-a', '1', 'cookie', 'b=2'];
    expect(printRequest(fields, false)).toMatchObject({
      chunked: true,
      text: 'POST /x?y HTTP/1.1\r\nHost: a.test\r\ncookie: a=1; b=2\r\nx-a: 1\r\nTransfer-Encoding: chunked',
    });
    expect(printRequest([...fields, 'content-length', '3'], false)).toMatchObject({ chunked: false });
    expect(JSON.stringify(printRequest(fields, true))).toMatch(/Content-Length: 0"/);
  });

  it.each<[string, string[]]>([
    ['a second :path', [...START, ':path', '/y']],
    ['a pseudo-header field behind a field', [...START.slice(0, 6), 'a', 'b', ':path', '/']],
    ['an unknown pseudo-header field', [...START, ':evil', '1']],
    ['a response pseudo-header field', [...START, ':status', '200']],
    ['no :method', START.slice(2)],
    ['no :scheme', [':method', 'GET', ':authority', 'a.test', ':path', '/']],
    ['no :path', START.slice(0, 6)],
    ['an empty :path', START.with(7, '')],
    ['a URL as :path', START.with(7, 'https://a.test/')],
    ['a :path without its slash', START.with(7, 'x')],
    ['no :authority', [...START.slice(0, 4), ':path', '/']],
    [':scheme http', START.with(3, 'http')],
    ['a space in :path', START.with(7, '/ HTTP/1.1')],
    ['a line end in :path', START.with(7, '/ HTTP/1.1\r\nX-Smuggled: 1')],
    ['a line end in :method', START.with(1, 'GET / HTTP/1.1\r\n')],
    ['a line end in :authority', START.with(5, 'a.test\r\nX-Smuggled: 1')],
    ['a line end in a value', [...START, 'a', 'b\r\nX-Smuggled: 1']],
    ['a bare LF in a value', [...START, 'a', 'b\nX-Smuggled: 1']],
    ['a NUL in a value', [...START, 'a', 'b\0']],
    ['a line end in a name', [...START, 'a\r\nb', 'c']],
    ['a colon in a name', [...START, 'a:b', 'c']],
    ['upper case in a name', [...START, 'X-A', 'c']],
    ['an empty name', [...START, '', 'c']],
    ['white space around a value', [...START, 'a', ' b']],
    ['connection', [...START, 'connection', 'close']],
    ['transfer-encoding', [...START, 'transfer-encoding', 'chunked']],
    ['upgrade', [...START, 'upgrade', 'websocket']],
    ['proxy-connection', [...START, 'proxy-connection', 'x']],
    ['te other than trailers', [...START, 'te', 'gzip']],
    ['two hosts', [...START, 'host', 'a.test', 'host', 'a.test']],
    ['CONNECT with :path', START.with(1, 'CONNECT')],
  ])('%s is malformed', (_name, fields) => {
    expect(printRequest(fields, true)).toMatchObject({ kind: 'deny', reason: 'bad_request' });
  });

  it('a host that differs from :authority and extended CONNECT are refused by name', () => {
    expect(printRequest([...START, 'host', 'b.test'], true)).toMatchObject({ reason: 'host_mismatch' });
    expect(printRequest([...START, ':protocol', 'websocket'], true)).toMatchObject({
      reason: 'method_refused',
    });
  });

  it('whatever the fields, the strict parser reads back exactly these and no more', () => {
    const value = fc.string({ unit: 'binary', maxLength: 12 });
    const name = fc.oneof(fc.constantFrom('x-a', 'host', 'cookie', 'te', ':path', 'expect', 'a b'), value);
    const list = fc.array(fc.tuple(name, value), { maxLength: 6 });
    fc.assert(
      fc.property(list, value, (fields, path) => {
        const raw = [...START.with(7, `/${path}`), ...fields.flat()];
        const printed = printRequest(raw, true);
        if (printed.kind === 'deny') return;
        const head = parseRequestHead(printed.text);
        if ('kind' in head) return;
        expect(head.target).toBe(`/${path}`);
        const cookies = fields.filter(([key]) => key === 'cookie').length;
        const kept = fields.filter(([key]) => key !== 'host').length - Math.max(0, cookies - 1);
        expect(head.text.split('\r\n').length).toBe(2 + kept);
      }),
    );
  });
});

describe('a request towards an HTTP/2 upstream', () => {
  it('has pseudo-header fields first, lower-case names, and nothing of one connection', () => {
    const head = parseRequestHead(
      'POST /x HTTP/1.1\r\nHost: a.test:8443\r\nX-Key:  v \r\nTransfer-Encoding: chunked\r\nConnection: TE\r\nTE: trailers',
    );
    if ('kind' in head) throw new Error(head.detail);
    expect(requestFields(head)).toEqual([
      ':method',
      'POST',
      ':scheme',
      'https',
      ':authority',
      'a.test:8443',
      ':path',
      '/x',
      'x-key',
      'v',
      'te',
      'trailers',
    ]);
  });
});

describe('a response of an HTTP/2 upstream', () => {
  const how = { method: 'GET', ended: false };

  it('is a head whose body is framed', () => {
    expect(printResponse([':status', '200', 'a', 'b'], how)).toEqual({
      kind: 'head',
      status: 200,
      chunked: true,
      text: 'HTTP/1.1 200 \r\na: b\r\nTransfer-Encoding: chunked',
    });
    expect(printResponse([':status', '200', 'content-length', '3'], how)).toMatchObject({ chunked: false });
    expect(printResponse([':status', '304'], how)).toMatchObject({ chunked: false });
    expect(printResponse([':status', '200'], { ...how, method: 'HEAD' })).toMatchObject({ chunked: false });
  });

  it.each<[string, string[]]>([
    ['no status', ['a', 'b']],
    ['a status of two digits', [':status', '20']],
    ['101', [':status', '101']],
    ['a request pseudo-header field', [':status', '200', ':path', '/']],
    ['a line end in a value', [':status', '200', 'a', 'b\r\nc: d']],
    ['transfer-encoding', [':status', '200', 'transfer-encoding', 'chunked']],
  ])('%s is malformed', (_name, fields) => {
    expect(printResponse(fields, how)).toBeNull();
  });

  it('goes to a client of HTTP/2 without what belongs to HTTP/1.1', () => {
    const head = parseResponseHead(
      'HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nConnection: close\r\nContent-Length: 3',
      'GET',
    );
    if ('kind' in head) throw new Error(head.detail);
    expect(responseFields(head)).toEqual([
      ':status',
      '200',
      'set-cookie',
      'a',
      'set-cookie',
      'b',
      'content-length',
      '3',
    ]);
  });

  it('trailers come back as they were; a pseudo-header field is malformed there', () => {
    expect(printTrailers(['grpc-status', '0', 'a', 'b'])).toBe('\r\ngrpc-status: 0\r\na: b');
    expect(trailerFields('\r\ngrpc-status: 0\r\na: b')).toEqual(['grpc-status', '0', 'a', 'b']);
    expect(printTrailers([':status', '200'])).toBeNull();
    expect(printTrailers(['a', 'b\r\nc'])).toBeNull();
  });
});
