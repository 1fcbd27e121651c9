import { describe, expect, it } from 'vitest';
import type { Authority, Host } from '../../../src/flow/target.ts';
import { parseAuthority } from '../../../src/wire/authority.ts';
import {
  checkHost,
  fieldValue,
  parseRequestHead,
  parseRequestTarget,
  parseResponseHead,
  type RequestFraming,
  type RequestHead,
  type ResponseHead,
} from '../../../src/wire/http1-parse.ts';

function request(...lines: string[]): RequestHead {
  const head = parseRequestHead(lines.join('\r\n'));
  if ('kind' in head) throw new Error(`${head.reason}: ${head.detail}`);
  return head;
}

function response(method: string, ...lines: string[]): ResponseHead {
  const head = parseResponseHead(lines.join('\r\n'), method);
  if ('kind' in head) throw new Error(`${head.reason}: ${head.detail}`);
  return head;
}

const requestReason = (...lines: string[]): string => {
  const head = parseRequestHead(lines.join('\r\n'));
  return 'kind' in head ? head.reason : 'fine';
};

const responseReason = (method: string, ...lines: string[]): string => {
  const head = parseResponseHead(lines.join('\r\n'), method);
  return 'kind' in head ? head.reason : 'fine';
};

const HOST = 'Host: up.test';
const get = (...lines: string[]): string => requestReason('GET / HTTP/1.1', HOST, ...lines);
const post = (...lines: string[]): string => requestReason('POST / HTTP/1.1', HOST, ...lines);

describe('parseRequestHead', () => {
  it('tells method, target, version, Host and the special fields with their places', () => {
    const head = request('POST /x?y HTTP/1.1', 'Accept: */*', 'HOST:\t up.test \t', 'content-length: 5');
    expect(head).toMatchObject({ method: 'POST', target: '/x?y', minor: 1, host: 'up.test', fieldsAt: 18 });
    expect(head.framing).toEqual({ kind: 'length', length: 5 });
    expect(head.special.map((field) => [field.name, field.value])).toEqual([
      ['host', 'up.test'],
      ['content-length', '5'],
    ]);
    expect(head.special.map((field) => head.text.slice(field.start, field.end))).toEqual([
      '\r\nHOST:\t up.test \t',
      '\r\ncontent-length: 5',
    ]);
  });

  it('keeps NBSP as a byte of the value', () => {
    expect(request('GET / HTTP/1.1', 'Host: up.test\u00a0').host).toBe('up.test\u00a0');
  });

  it.each([
    ['no Host in HTTP/1.1', ['GET / HTTP/1.1']],
    ['a lower-case version', ['GET / http/1.1', HOST]],
    ['HTTP/1.2', ['GET / HTTP/1.2', HOST]],
    ['HTTP/11.1', ['GET / HTTP/11.1', HOST]],
    ['the HTTP/2 preface', ['PRI * HTTP/2.0']],
    ['a PROXY line, version 1', ['PROXY TCP4 10.0.0.1 10.0.0.2 1 2', HOST]],
    ['a tab between the words', ['GET\t/ HTTP/1.1', HOST]],
    ['a trailing space', ['GET / HTTP/1.1 ', HOST]],
    ['an empty target', ['GET  HTTP/1.1', HOST]],
    ['an empty method', [' / HTTP/1.1', HOST]],
    ['a byte above 0x7e in the target', ['GET /\u00e9 HTTP/1.1', HOST]],
    ['DEL in the target', ['GET /\u007f HTTP/1.1', HOST]],
    ['a very long method', [`${'A'.repeat(65)} / HTTP/1.1`, HOST]],
    ['a bare CR in the request line', ['GET /\rX HTTP/1.1', HOST]],
    ['an empty line first', ['', 'GET / HTTP/1.1', HOST]],
    ['nothing', ['']],
  ])('refuses %s', (_title, lines) => {
    expect(requestReason(...lines)).toBe('bad_request');
  });

  it.each([
    ['obs-fold', 'X: a\r\n b'],
    ['a tab fold', 'X: a\r\n\tb'],
    ['a fold before the first field', ' X: a'],
    ['a space before the colon', 'X : a'],
    ['a tab before the colon', 'X\t: a'],
    ['no colon', 'X'],
    ['no name', ': a'],
    ['a name with a quote', 'X": a'],
    ['a name with a byte above 0x7f', 'X\u00e9: a'],
    ['NUL in the value', 'X: a\0'],
    ['vertical tab in the value', 'X: a\v'],
    ['ESC in the value', 'X: a\u001b'],
    ['DEL in the value', 'X: a\u007f'],
    ['bare LF', 'X: a\nY: b'],
    ['bare CR', 'X: a\rY: b'],
    ['CR at the end', 'X: a\r'],
    ['two Hosts, equal', HOST],
    ['Connection that names Host', 'Connection: host'],
    ['Connection that names Content-Length', 'Connection: close, Content-Length'],
    [
      'Connection that names Transfer-Encoding, second line',
      'Connection: close\r\nConnection: TRANSFER-ENCODING',
    ],
    ['Connection with no token', 'Connection: "close"'],
    ['Connection with 40 options', `Connection: ${'a,'.repeat(40)}`],
    ['an unknown expectation', 'Expect: 200-ok'],
    ['an obfuscated expectation', 'Expect: y 100-continue'],
    ['two expectations', 'Expect: 100-continue\r\nExpect: 100-continue'],
    ['two Upgrades', 'Upgrade: websocket\r\nUpgrade: h2c'],
  ])('refuses a field line with %s', (_title, line) => {
    expect(get(line)).toBe('bad_request');
  });

  it.each([
    ['Content-Length twice, equal', 'Content-Length: 5\r\nContent-Length: 5'],
    ['Content-Length as an equal list', 'Content-Length: 5, 5'],
    ['Content-Length empty', 'Content-Length:'],
    ['Content-Length with an underscore', 'Content-Length: 1_0'],
    ['Content-Length with an exponent', 'Content-Length: 1e2'],
    ['Content-Length below zero', 'Content-Length: -0'],
    ['Content-Length of 17 digits', `Content-Length: ${'0'.repeat(16)}5`],
    ['Content-Length above 2^53', 'Content-Length: 9007199254740992'],
    ['both framings', 'Content-Length: 5\r\nTransfer-Encoding: chunked'],
    ['both framings, other order', 'Transfer-Encoding: chunked\r\nContent-Length: 0'],
    ['two codings in one line', 'Transfer-Encoding: gzip, chunked'],
    ['chunked twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'],
    ['an empty Transfer-Encoding', 'Transfer-Encoding:'],
    ['a list with an empty element', 'Transfer-Encoding: chunked,'],
    ['a quoted coding', 'Transfer-Encoding: "chunked"'],
    ['NEL behind chunked', 'Transfer-Encoding: chunked\u0085'],
    ['NBSP before chunked', 'Transfer-Encoding: \u00a0chunked'],
    ['Upgrade with a length', 'Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1'],
    ['Upgrade without its option, with a body', 'Upgrade: h2c\r\nTransfer-Encoding: chunked'],
  ])('refuses doubtful framing: %s', (_title, line) => {
    expect(post(line)).toBe('bad_request');
  });

  it.each([
    ['Transfer-Encoding in HTTP/1.0', ['POST / HTTP/1.0', HOST, 'Transfer-Encoding: chunked']],
    ['CONNECT with a length', ['CONNECT up.test:443 HTTP/1.1', HOST, 'Content-Length: 1']],
    ['CONNECT with chunks', ['CONNECT up.test:443 HTTP/1.1', HOST, 'Transfer-Encoding: chunked']],
    ['two Hosts in HTTP/1.0', ['GET / HTTP/1.0', HOST, HOST]],
  ])('refuses %s', (_title, lines) => {
    expect(requestReason(...lines)).toBe('bad_request');
  });

  it('reads framing canonically', () => {
    const framing = (start: string, ...lines: string[]): RequestFraming =>
      request(`${start} HTTP/1.1`, HOST, ...lines).framing;
    expect(framing('POST /', 'Content-Length: 010')).toEqual({ kind: 'length', length: 10 });
    expect(framing('POST /', 'Content-Length: 9007199254740991')).toEqual({
      kind: 'length',
      length: Number.MAX_SAFE_INTEGER,
    });
    expect(framing('POST /', 'transfer-encoding: Chunked')).toEqual({ kind: 'chunked' });
    expect(framing('CONNECT up.test:443', 'Content-Length: 0')).toEqual({ kind: 'length', length: 0 });
    expect(framing('GET /')).toEqual({ kind: 'none' });
  });

  it.each([
    [['GET / HTTP/1.1', HOST], true],
    [['GET / HTTP/1.1', HOST, 'Connection: close'], false],
    [['GET / HTTP/1.1', HOST, 'Connection: keep-alive, CLOSE'], false],
    [['GET / HTTP/1.1', HOST, 'Connection: foo', 'Connection: close'], false],
    [['GET / HTTP/1.1', HOST, 'Connection: , keep-alive,,'], true],
    [['GET / HTTP/1.0', HOST], false],
    [['GET / HTTP/1.0', HOST, 'Connection: keep-alive'], false],
  ])('%j keeps the connection: %s', (lines, expected) => {
    expect(request(...lines).keepAlive).toBe(expected);
  });

  it('wants 100 Continue only for a body of HTTP/1.1', () => {
    const expecting = 'Expect: 100-Continue';
    expect(request('POST / HTTP/1.1', HOST, expecting, 'Content-Length: 1').expectContinue).toBe(true);
    expect(request('POST / HTTP/1.1', HOST, expecting, 'Transfer-Encoding: chunked').expectContinue).toBe(
      true,
    );
    expect(request('POST / HTTP/1.1', HOST, expecting, 'Content-Length: 0').expectContinue).toBe(false);
    expect(request('POST / HTTP/1.0', HOST, expecting, 'Content-Length: 1').expectContinue).toBe(false);
  });

  it('sees an upgrade only where Connection names it and HTTP/1.1 is spoken', () => {
    expect(request('GET / HTTP/1.1', HOST, 'Connection: Upgrade', 'Upgrade: WebSocket').upgrade).toBe(
      'websocket',
    );
    expect(request('GET / HTTP/1.1', HOST, 'Upgrade: websocket').upgrade).toBeNull();
    expect(request('GET / HTTP/1.1', HOST, 'Connection: Upgrade').upgrade).toBeNull();
    expect(request('GET / HTTP/1.0', HOST, 'Connection: Upgrade', 'Upgrade: websocket').upgrade).toBeNull();
  });

  it('refuses a Connection option that would take the credential away before it is put in', () => {
    const text =
      'GET / HTTP/1.1\r\nHost: up.test\r\nConnection: close, Authorization\r\nAuthorization: Bearer x';
    expect(parseRequestHead(text)).toMatchObject({ kind: 'deny', reason: 'bad_request' });
  });

  it('lists the names that Connection nominates, without the fixed ones', () => {
    const head = request(
      'GET / HTTP/1.1',
      HOST,
      'Connection: close, X-A, te, keep-alive',
      'Connection: x-b, X-A',
    );
    expect(head.nominated).toEqual(['x-a', 'x-b']);
  });

  it('counts fields and measures lines', () => {
    const fields = (count: number): string[] => Array.from({ length: count }, () => 'a:');
    expect(get(...fields(127))).toBe('fine');
    expect(get(...fields(128))).toBe('header_too_large');
    expect(get(`X: ${'y'.repeat(16_381)}`)).toBe('fine');
    expect(get(`X: ${'y'.repeat(16_382)}`)).toBe('header_too_large');
    expect(requestReason(`GET /${'y'.repeat(16_400)} HTTP/1.1`, HOST)).toBe('header_too_large');
  });

  it('stays linear on hostile white space and long names', () => {
    const started = performance.now();
    expect(get(`Host2: ${' '.repeat(15_000)}x`, `Proxy-${'a'.repeat(8_000)}: ${' '.repeat(8_000)}x`)).toBe(
      'fine',
    );
    expect(get(`Connection: ${' '.repeat(16_000)}x y`)).toBe('bad_request');
    expect(requestReason(`GET / HTTP/1.1\r\n${'a:\r\n'.repeat(7_000)}\0`)).toBe('bad_request');
    expect(performance.now() - started).toBeLessThan(500);
  });
});

describe('parseRequestTarget', () => {
  const target = (line: string): string => {
    const found = parseRequestTarget(request(`${line} HTTP/1.1`, HOST));
    if ('kind' in found) return found.reason;
    switch (found.form) {
      case 'authority':
        return `authority ${found.authority.host} ${found.authority.port}`;
      case 'absolute':
        return `${found.scheme} ${found.authority.host} ${found.authority.port} ${found.path}`;
      case 'origin':
        return `origin ${found.path}`;
      case 'asterisk':
        return 'asterisk';
    }
  };

  it.each([
    ['CONNECT up.test:443', 'authority up.test 443'],
    ['CONNECT [::1]:8443', 'authority ::1 8443'],
    ['CONNECT up.test', 'bad_authority'],
    ['CONNECT /', 'bad_authority'],
    ['CONNECT https://up.test:443/', 'bad_authority'],
    ['CONNECT up.test:443/x', 'bad_authority'],
    ['GET up.test:443', 'bad_request'],
    ['connect up.test:443', 'bad_request'],
    ['GET /', 'origin /'],
    ['GET //evil.test/x', 'origin //evil.test/x'],
    ['GET /a?b=/../c', 'origin /a?b=/../c'],
    ['GET /a#b', 'bad_request'],
    ['OPTIONS *', 'asterisk'],
    ['GET *', 'bad_request'],
    ['OPTIONS *x', 'bad_request'],
    ['GET http://up.test', 'http up.test 80 /'],
    ['GET http://up.test?q=1', 'http up.test 80 /?q=1'],
    ['GET HTTP://UP.test:8080/a/b', 'http up.test 8080 /a/b'],
    ['GET https://up.test/a', 'https up.test 443 /a'],
    ['GET http://[2001:db8::1]/', 'http 2001:db8::1 80 /'],
    ['OPTIONS http://up.test', 'http up.test 80 *'],
    ['OPTIONS http://up.test/', 'http up.test 80 /'],
    ['GET http://up.test/@x', 'http up.test 80 /@x'],
    ['GET http://up.test/\\x', 'http up.test 80 /\\x'],
    ['GET http://a@up.test/', 'bad_authority'],
    ['GET http://@up.test/', 'bad_authority'],
    ['GET http://up.test\\x/', 'bad_authority'],
    ['GET http://up.test:/', 'bad_authority'],
    ['GET http:///x', 'bad_authority'],
    ['GET http://?x', 'bad_authority'],
    ['GET http://up.test/#', 'bad_request'],
    ['GET http:/up.test/', 'bad_request'],
    ['GET ftp://up.test/', 'bad_request'],
    ['GET httpx://up.test/', 'bad_request'],
    ['GET ws://up.test/', 'bad_request'],
    ['GET javascript:1', 'bad_request'],
    ['TRACE /', 'method_refused'],
    ['trace http://up.test/', 'method_refused'],
    ['TRACK /', 'method_refused'],
  ])('%s is %s', (line, expected) => {
    expect(target(line)).toBe(expected);
  });
});

describe('checkHost', () => {
  const at = (text: string): Authority => {
    const authority = parseAuthority(text);
    if (authority.kind === 'deny') throw new Error(text);
    return authority;
  };
  const check = (host: string, target: string, port: number): string =>
    checkHost(request('GET / HTTP/1.1', `Host: ${host}`), at(target), port)?.reason ?? 'equal';

  it.each([
    ['up.test', 'up.test:443', 443, 'equal'],
    ['UP.test:443', 'up.test:443', 443, 'equal'],
    ['up.test.', 'up.test:443', 443, 'equal'],
    ['up.test:8443', 'up.test:8443', 443, 'equal'],
    ['[::1]', '[::1]:443', 443, 'equal'],
    ['[0::1]:443', '[::1]:443', 443, 'equal'],
    ['up.test', 'up.test:8443', 443, 'host_mismatch'],
    ['up.test:80', 'up.test:443', 443, 'host_mismatch'],
    ['a.up.test', 'up.test:443', 443, 'host_mismatch'],
    ['::1', '[::1]:443', 443, 'bad_request'],
    ['', 'up.test:443', 443, 'bad_request'],
    ['up.test:', 'up.test:443', 443, 'bad_request'],
    ['up.test,up.test', 'up.test:443', 443, 'bad_request'],
    ['up.test up.test', 'up.test:443', 443, 'bad_request'],
    ['http://up.test', 'up.test:443', 443, 'bad_request'],
  ])('Host %j against %s with default port %i: %s', (host, target, port, expected) => {
    expect(check(host, target, port)).toBe(expected);
  });

  it('says which target it was, as other refusals say what to mend', () => {
    const other = checkHost(request('GET / HTTP/1.1', 'Host: evil.test'), at('up.test:443'), 443);
    expect(other?.detail).toBe('The Host field names another host or port than up.test:443.');
    expect(parseRequestTarget(request('TRACE / HTTP/1.1', HOST))).toMatchObject({
      detail: 'TRACE is never passed on.',
    });
    expect(parseRequestHead(`GET / HTTP/1.1\r\nX: ${'y'.repeat(17_000)}`)).toMatchObject({
      detail: 'A head has 32768 bytes, 128 fields and 16384 bytes a line at most.',
    });
  });

  it('lets HTTP/1.0 go without Host, and judges one that is there', () => {
    expect(checkHost(request('GET / HTTP/1.0'), at('up.test:80'), 80)).toBeNull();
    expect(checkHost(request('GET / HTTP/1.0', 'Host: evil.test'), at('up.test:80'), 80)?.reason).toBe(
      'host_mismatch',
    );
  });

  it('does not take a look-alike host for an address', () => {
    const head = request('GET / HTTP/1.1', 'Host: 1.2.3.4');
    expect(checkHost(head, { host: '1.2.3.4' as Host, kind: 'ipv4', port: 443 }, 443)).toBeNull();
  });
});

describe('fieldValue', () => {
  it('finds the first field of a name in any case, trimmed', () => {
    const head = request('GET / HTTP/1.1', HOST, 'Authorization:  Basic x ', 'authorization: y', 'Empty:');
    expect(fieldValue(head, 'authorization')).toBe('Basic x');
    expect(fieldValue(head, 'empty')).toBe('');
    expect(fieldValue(head, 'auth')).toBeNull();
    expect(fieldValue(request('GET / HTTP/1.0'), 'host')).toBeNull();
  });
});

describe('parseResponseHead', () => {
  it.each([
    ['GET', 'HTTP/1.1 200 OK', 'eof'],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0', 'length'],
    ['GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', 'chunked'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 9', 'none'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', 'none'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9', 'none'],
    ['GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 0', 'none'],
    ['GET', 'HTTP/1.1 101 Switching Protocols', 'none'],
    ['CONNECT', 'HTTP/1.1 200 OK\r\nContent-Length: 9', 'none'],
    ['CONNECT', 'HTTP/1.1 403 No\r\nContent-Length: 9', 'length'],
    ['GET', 'HTTP/1.1 200', 'eof'],
    ['GET', 'HTTP/1.1 200 \u00e9t\u00e9', 'eof'],
  ])('%s, %j: framing %s', (method, text, framing) => {
    expect(response(method, text).framing.kind).toBe(framing);
  });

  it.each([
    ['HTTP/1.1 200 OK\r\nContent-Length: 1', true],
    ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: Close', false],
    ['HTTP/1.0 200 OK\r\nContent-Length: 1', false],
    ['HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive', false],
    ['HTTP/1.1 200 OK', false],
    ['HTTP/1.1 204 No\r\nContent-Length: 1', false],
    ['HTTP/1.1 204 No\r\nContent-Length: 0', true],
    ['HTTP/1.1 304 No\r\nContent-Length: 1', true],
  ])('%j keeps the connection: %s', (text, expected) => {
    expect(response('GET', text).keepAlive).toBe(expected);
  });

  it.each([
    ['status 099', 'HTTP/1.1 099 X'],
    ['status 600', 'HTTP/1.1 600 X'],
    ['status of four digits', 'HTTP/1.1 2000 X'],
    ['two spaces', 'HTTP/1.1  200 OK'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK'],
    ['NUL in the reason', 'HTTP/1.1 200 O\0K'],
    ['407', 'HTTP/1.1 407 Proxy Authentication Required'],
    ['407 to HEAD', 'HTTP/1.1 407 X\r\nContent-Length: 0'],
    ['chunked in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked'],
    ['an unknown coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity'],
    ['two lengths, equal', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2'],
    ['chunked in a 204', 'HTTP/1.1 204 No\r\nTransfer-Encoding: chunked'],
    ['a body in a 100', 'HTTP/1.1 100 Continue\r\nContent-Length: 1'],
    ['chunked in a 101', 'HTTP/1.1 101 X\r\nTransfer-Encoding: chunked'],
    [
      'Connection that names Content-Length',
      'HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 1',
    ],
    ['obs-fold', 'HTTP/1.1 200 OK\r\nX: a\r\n b'],
    ['129 fields', `HTTP/1.1 200 OK${'\r\na:'.repeat(129)}`],
    ['a request', 'GET / HTTP/1.1'],
  ])('refuses %s', (_title, text) => {
    expect(responseReason('GET', text)).toBe('upstream_bad_response');
  });
});
