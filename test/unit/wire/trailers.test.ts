import { describe, expect, it } from 'vitest';
import { keepTrailers } from '../../../src/wire/trailers.ts';

describe('trailer fields', () => {
  it('those that tell something of the body pass byte for byte and in order', () => {
    const lines = '\r\ngrpc-status: 0\r\nGrpc-Message:  ok \r\nX-Checksum: a,b';
    expect(keepTrailers(lines)).toBe(lines);
    expect(keepTrailers('')).toBe('');
  });

  it.each([
    'Host: evil.test',
    'Content-Length: 5',
    'transfer-encoding: chunked',
    'Authorization: Bearer x',
    'Set-Cookie: a=b',
    'Connection: close',
    'Proxy-Authorization: Basic x',
    'X-HTTP-Method-Override: DELETE',
    'X_HTTP_Method: DELETE',
    'If-Match: "x"',
    'Alt-Svc: h2=":443"',
  ])('%s comes too late and goes', (line) => {
    expect(keepTrailers(`\r\na: 1\r\n${line}\r\nb: 2`)).toBe('\r\na: 1\r\nb: 2');
  });
});
