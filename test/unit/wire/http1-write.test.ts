import { describe, expect, it } from 'vitest';
import { parseRequestHead, parseResponseHead, type ResponseFraming } from '../../../src/wire/http1-parse.ts';
import {
  chunkHeader,
  LAST_CHUNK,
  type RequestRebuild,
  rebuildRequestHead,
  rebuildResponseHead,
} from '../../../src/wire/http1-write.ts';

function rebuilt(lines: readonly string[], to: Partial<RequestRebuild> = {}): string[] {
  const head = parseRequestHead(lines.join('\r\n'));
  if ('kind' in head) throw new Error(head.detail);
  const text = rebuildRequestHead(head, { path: '/', host: 'up.test', dropOverrides: false, ...to });
  expect(text.endsWith('\r\n\r\n')).toBe(true);
  return text.slice(0, -4).split('\r\n');
}

function answered(
  lines: readonly string[],
  to: { method?: string; keepAlive?: boolean; framing?: ResponseFraming } = {},
): string[] {
  const head = parseResponseHead(lines.join('\r\n'), to.method ?? 'GET');
  if ('kind' in head) throw new Error(head.detail);
  const text = rebuildResponseHead(head, {
    keepAlive: to.keepAlive ?? true,
    framing: to.framing ?? head.framing,
  });
  expect(text.endsWith('\r\n\r\n')).toBe(true);
  return text.slice(0, -4).split('\r\n');
}

describe('rebuildRequestHead', () => {
  it('keeps order, case and bytes of end-to-end fields and puts Host in its place', () => {
    expect(
      rebuilt(
        [
          'POST http://UP.test:80/a HTTP/1.1',
          'aCCept:  \t*/* ',
          'HOST: UP.test:80',
          'Cookie: a=1',
          'cookie: b=2',
          'X-Bytes: \u00e9\u00ff',
          'Content-Length:  007 ',
          'Last:',
        ],
        { path: '/a' },
      ),
    ).toEqual([
      'POST /a HTTP/1.1',
      'aCCept:  \t*/* ',
      'Host: up.test',
      'Cookie: a=1',
      'cookie: b=2',
      'X-Bytes: \u00e9\u00ff',
      'Content-Length: 7',
      'Last:',
    ]);
  });

  it('adds Host first where HTTP/1.0 left it out, and speaks HTTP/1.1', () => {
    expect(rebuilt(['GET / HTTP/1.0', 'A: b'])).toEqual(['GET / HTTP/1.1', 'Host: up.test', 'A: b']);
    expect(rebuilt(['GET / HTTP/1.0'])).toEqual(['GET / HTTP/1.1', 'Host: up.test']);
  });

  it('removes what belongs to the connection', () => {
    expect(
      rebuilt([
        'GET / HTTP/1.1',
        'Connection: close, X-Hop, x-key',
        'Host: up.test',
        'Proxy-Authorization: Basic c2VjcmV0',
        'Proxy-Connection: keep-alive',
        'PROXY-Anything: 1',
        'Keep-Alive: timeout=5',
        'TE: trailers',
        'Trailer: X-T',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQAAP__',
        'x-hop: 1',
        'X-Hop: 2',
        'X-Key: p',
        'X-Hopper: stays',
        'Proxy: stays',
      ]),
    ).toEqual(['GET / HTTP/1.1', 'Host: up.test', 'X-Hopper: stays', 'Proxy: stays']);
  });

  it('passes an upgrade on only where it is told to', () => {
    const lines = [
      'GET / HTTP/1.1',
      'Host: up.test',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: x',
    ];
    expect(rebuilt(lines)).toEqual(['GET / HTTP/1.1', 'Host: up.test', 'Sec-WebSocket-Key: x']);
    expect(rebuilt(lines, { upgrade: 'websocket' })).toEqual([
      'GET / HTTP/1.1',
      'Host: up.test',
      'Sec-WebSocket-Key: x',
      'Connection: Upgrade',
      'Upgrade: websocket',
    ]);
  });

  it('removes the override headers where a rule judges requests, else not', () => {
    const overrides = [
      'X-HTTP-Method-Override: DELETE',
      'x-http-method: PUT',
      'X-Method-Override: PUT',
      'X-Original-URL: /admin',
      'X-Rewrite-URL: /admin',
      // The same to CGI and WSGI.
      'X_HTTP_Method_Override: DELETE',
      'x_original-url: /admin',
    ];
    const lines = ['GET / HTTP/1.1', 'Host: up.test', ...overrides, 'X-Original: 1'];
    expect(rebuilt(lines, { dropOverrides: true })).toEqual([
      'GET / HTTP/1.1',
      'Host: up.test',
      'X-Original: 1',
    ]);
    expect(rebuilt(lines)).toEqual(lines);
  });

  it('removes more by name, but never Host or the framing', () => {
    const asked: string[] = [];
    const lines = ['POST / HTTP/1.1', 'A: 1', 'Host: up.test', 'b: 2', 'Content-Length: 1', 'C: 3'];
    const drop = (name: string): boolean => {
      asked.push(name);
      return name !== 'b';
    };
    expect(rebuilt(lines, { drop })).toEqual([
      'POST / HTTP/1.1',
      'Host: up.test',
      'b: 2',
      'Content-Length: 1',
    ]);
    expect(asked).toEqual(['a', 'b', 'c']);
  });

  it('removes nominated names and named ones in one pass', () => {
    const lines = ['GET / HTTP/1.1', 'Host: up.test', 'Connection: x-a', 'X-A: 1', 'X-B: 2', 'X-C: 3'];
    expect(rebuilt(lines, { drop: (name) => name === 'x-b' })).toEqual([
      'GET / HTTP/1.1',
      'Host: up.test',
      'X-C: 3',
    ]);
  });

  it('passes an expectation on only where a body follows', () => {
    const expecting = ['POST / HTTP/1.1', 'Host: up.test', 'Expect: 100-continue'];
    expect(rebuilt([...expecting, 'Content-Length: 1'])).toContain('Expect: 100-continue');
    expect(rebuilt(expecting)).not.toContain('Expect: 100-continue');
  });

  it('writes chunked framing canonically', () => {
    expect(rebuilt(['POST / HTTP/1.1', 'Host: up.test', 'transfer-encoding:\tChunked'])).toEqual([
      'POST / HTTP/1.1',
      'Host: up.test',
      'Transfer-Encoding: chunked',
    ]);
  });
});

describe('rebuildResponseHead', () => {
  it('keeps the status line and end-to-end fields and drops the rest', () => {
    expect(
      answered([
        'HTTP/1.0 404 Gone  \u00e9',
        'Set-Cookie: a=1',
        'Connection: close, X-Hop',
        'Keep-Alive: timeout=5',
        'X-Hop: 1',
        'Alt-Svc: h3=":443"',
        'Proxy-Authenticate: Basic',
        'Proxy-Status: x',
        'Upgrade: h2c',
        'Content-Length: 05',
        'Set-Cookie: b=2',
      ]),
    ).toEqual(['HTTP/1.1 404 Gone  \u00e9', 'Set-Cookie: a=1', 'Set-Cookie: b=2', 'Content-Length: 5']);
  });

  it('writes the space that a bare status line lacks', () => {
    expect(answered(['HTTP/1.1 200', 'Content-Length: 0'])[0]).toBe('HTTP/1.1 200 ');
  });

  it.each([
    ['a new length', { kind: 'length', length: 12 }, ['Content-Length: 12']],
    ['chunks', { kind: 'chunked' }, ['Transfer-Encoding: chunked']],
    ['the end of the connection', { kind: 'eof' }, ['Connection: close']],
  ] as const)('frames by %s', (_title, framing, expected) => {
    expect(answered(['HTTP/1.1 200 OK', 'Content-Length: 5'], { framing }).slice(1)).toEqual(expected);
  });

  it('closes where it is told to', () => {
    expect(answered(['HTTP/1.1 200 OK', 'Content-Length: 5'], { keepAlive: false })).toEqual([
      'HTTP/1.1 200 OK',
      'Content-Length: 5',
      'Connection: close',
    ]);
  });

  it('lets HEAD and 304 tell the length of the body that is not there', () => {
    expect(answered(['HTTP/1.1 200 OK', 'Content-Length: 09'], { method: 'HEAD' })).toContain(
      'Content-Length: 9',
    );
    expect(answered(['HTTP/1.1 304 Not Modified', 'Content-Length: 9'])).toContain('Content-Length: 9');
    expect(answered(['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'], { method: 'HEAD' })).toEqual([
      'HTTP/1.1 200 OK',
    ]);
    expect(answered(['HTTP/1.1 204 No Content', 'Content-Length: 0'])).toEqual(['HTTP/1.1 204 No Content']);
    expect(
      answered(['HTTP/1.1 103 Early Hints', 'Link: </a>', 'Content-Length: 0'], { keepAlive: false }),
    ).toEqual(['HTTP/1.1 103 Early Hints', 'Link: </a>']);
  });

  it('keeps the switch of a 101', () => {
    expect(
      answered(['HTTP/1.1 101 Switching Protocols', 'upgrade: websocket', 'connection: upgrade', 'X: 1']),
    ).toEqual(['HTTP/1.1 101 Switching Protocols', 'X: 1', 'Connection: Upgrade', 'Upgrade: websocket']);
    expect(answered(['HTTP/1.1 101 X'])).toEqual(['HTTP/1.1 101 X', 'Connection: Upgrade']);
  });
});

describe('chunks', () => {
  it('are framed in lower-case hex', () => {
    expect(chunkHeader(1)).toBe('1\r\n');
    expect(chunkHeader(65_535)).toBe('ffff\r\n');
    expect(LAST_CHUNK).toBe('0\r\n\r\n');
  });
});
