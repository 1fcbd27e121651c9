/** The heads of a handshake: which requests are one, and which 101 answers it. */
import { describe, expect, it } from 'vitest';
import { readDeflate } from '../../../src/wire/deflate-terms.ts';
import {
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from '../../../src/wire/http1-parse.ts';
import {
  type Offer,
  parseAgreement,
  parseOffer,
  withExtensions,
} from '../../../src/wire/websocket-handshake.ts';

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const VERSION = 'Sec-WebSocket-Version: 13';
const UPGRADE = ['Connection: Upgrade', 'Upgrade: websocket'];
const GOOD = [...UPGRADE, KEY, VERSION];

function requestHead(lines: readonly string[], start = 'GET /chat HTTP/1.1'): RequestHead {
  const head = parseRequestHead([start, 'Host: a.test', ...lines].join('\r\n'));
  if ('kind' in head) throw new Error(head.detail);
  return head;
}

function responseHead(lines: readonly string[]): ResponseHead {
  const head = parseResponseHead(['HTTP/1.1 101 Switching Protocols', ...lines].join('\r\n'), 'GET');
  if ('kind' in head) throw new Error(head.detail);
  return head;
}

function offer(...more: string[]): Offer {
  const parsed = parseOffer(requestHead([...GOOD, ...more]));
  if ('kind' in parsed) throw new Error(parsed.detail);
  return parsed;
}

describe('an offer', () => {
  it('is read with its protocols and extensions, from one field or several', () => {
    const parsed = offer(
      'sec-websocket-protocol: chat, superchat',
      'Sec-WebSocket-Protocol: third',
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; server_max_window_bits="10", x-other',
    );
    expect(parsed.protocols).toEqual(['chat', 'superchat', 'third']);
    expect(parsed.extensions.map(({ name, params }) => [name, params])).toEqual([
      [
        'permessage-deflate',
        [
          ['client_max_window_bits', ''],
          ['server_max_window_bits', '10'],
        ],
      ],
      ['x-other', []],
    ]);
  });

  it('may list more connection options, in any case', () => {
    const head = requestHead(['connection: keep-alive, UPGRADE', 'upgrade: WebSocket', KEY, VERSION]);
    expect(parseOffer(head)).not.toHaveProperty('kind');
  });

  it.each([
    ['h2c', ['Connection: Upgrade', 'Upgrade: h2c']],
    ['TLS', ['Connection: Upgrade', 'Upgrade: TLS/1.0']],
    ['websocket with others', ['Connection: Upgrade', 'Upgrade: websocket, h2c', KEY, VERSION]],
    ['websocket with a version', ['Connection: Upgrade', 'Upgrade: websocket/13', KEY, VERSION]],
  ])('to switch to %s is upgrade_refused', (_what, lines) => {
    expect(parseOffer(requestHead(lines))).toMatchObject({ reason: 'upgrade_refused' });
  });

  it.each<[string, string[], string?]>([
    ['POST', GOOD, 'POST /chat HTTP/1.1'],
    ['an empty body that is announced', [...GOOD, 'Content-Length: 0']],
    ['no key', [...UPGRADE, VERSION]],
    ['two keys', [...GOOD, KEY]],
    ['a short key', [...UPGRADE, VERSION, 'Sec-WebSocket-Key: dGhlIHNhbXBsZQ==']],
    ['a key of 17 bytes', [...UPGRADE, VERSION, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=']],
    ['a key with loose bits', [...UPGRADE, VERSION, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==']],
    ['no version', [...UPGRADE, KEY]],
    ['version 8', [...UPGRADE, KEY, 'Sec-WebSocket-Version: 8']],
    ['two versions', [...GOOD, VERSION]],
    ['an accept', [...GOOD, `Sec-WebSocket-Accept: ${ACCEPT}`]],
    ['a malformed protocol', [...GOOD, 'Sec-WebSocket-Protocol: a b']],
    ['a malformed extension', [...GOOD, 'Sec-WebSocket-Extensions: x; a=b c']],
    ['half a quoted value', [...GOOD, 'Sec-WebSocket-Extensions: x; a="b']],
    [
      'a key that Connection removes',
      ['Connection: Upgrade, Sec-WebSocket-Key', 'Upgrade: websocket', KEY, VERSION],
    ],
  ])('with %s is bad_request', (_what, lines, start) => {
    expect(parseOffer(requestHead(lines, start))).toMatchObject({ reason: 'bad_request' });
  });

  it('gets another list of extensions in place of its own', () => {
    const [first] = offer('Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits').extensions;
    if (first === undefined) throw new Error('no extension');
    expect(withExtensions('GET / HTTP/1.1\r\nHost: a\r\n\r\n', [first])).toBe(
      'GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n',
    );
    expect(withExtensions('GET / HTTP/1.1\r\n\r\n', [])).toBe('GET / HTTP/1.1\r\n\r\n');
  });
});

describe('a 101', () => {
  const asked = offer('Sec-WebSocket-Protocol: chat', 'Sec-WebSocket-Extensions: permessage-deflate');
  const accept = `Sec-WebSocket-Accept: ${ACCEPT}`;

  it('with the right accept, an asked protocol and an asked extension agrees', () => {
    const lines = [
      ...UPGRADE,
      accept,
      'Sec-WebSocket-Protocol: chat',
      'sec-websocket-extensions: permessage-deflate',
    ];
    expect(parseAgreement(responseHead(lines), asked, ACCEPT)).toMatchObject([
      { name: 'permessage-deflate' },
    ]);
    expect(parseAgreement(responseHead([...UPGRADE, accept]), asked, ACCEPT)).toEqual([]);
  });

  it.each<[string, string[]]>([
    ['no accept', UPGRADE],
    ['a wrong accept', [...UPGRADE, 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=']],
    ['an accept in another case', [...UPGRADE, `Sec-WebSocket-Accept: ${ACCEPT.toLowerCase()}`]],
    ['two accepts', [...UPGRADE, accept, accept]],
    ['no Upgrade', ['Connection: Upgrade', accept]],
    ['another Upgrade', ['Connection: Upgrade', 'Upgrade: h2c', accept]],
    ['no Connection', ['Upgrade: websocket', accept]],
    [
      'a Connection that removes the accept',
      ['Connection: Upgrade, Sec-WebSocket-Accept', 'Upgrade: websocket', accept],
    ],
    ['an unasked protocol', [...UPGRADE, accept, 'Sec-WebSocket-Protocol: mqtt']],
    ['two protocols', [...UPGRADE, accept, 'Sec-WebSocket-Protocol: chat', 'Sec-WebSocket-Protocol: chat']],
    ['an unasked extension', [...UPGRADE, accept, 'Sec-WebSocket-Extensions: x-other']],
    ['a malformed extension', [...UPGRADE, accept, 'Sec-WebSocket-Extensions: permessage-deflate; =']],
  ])('with %s is upstream_bad_response', (_what, lines) => {
    expect(parseAgreement(responseHead(lines), asked, ACCEPT)).toMatchObject({
      reason: 'upstream_bad_response',
    });
  });
});

describe('the terms of permessage-deflate', () => {
  const agreed = (text: string) => {
    const all = offer(`Sec-WebSocket-Extensions: ${text}`);
    return readDeflate(all.extensions);
  };

  it.each([
    ['permessage-deflate', { takeover: true, serverTakeover: true, windowBits: 15 }],
    [
      'permessage-deflate; client_no_context_takeover',
      { takeover: false, serverTakeover: true, windowBits: 15 },
    ],
    [
      'permessage-deflate; server_no_context_takeover; client_max_window_bits=9',
      { takeover: true, serverTakeover: false, windowBits: 9 },
    ],
    [
      'permessage-deflate; server_max_window_bits="8"',
      { takeover: true, serverTakeover: true, windowBits: 15 },
    ],
  ])('%s', (text, terms) => {
    expect(agreed(text)).toEqual(terms);
  });

  it.each([
    ['permessage-deflate; client_max_window_bits'],
    ['permessage-deflate; client_max_window_bits=16'],
    ['permessage-deflate; client_max_window_bits=7'],
    ['permessage-deflate; client_no_context_takeover=1'],
    ['permessage-deflate; client_no_context_takeover; client_no_context_takeover'],
    ['permessage-deflate; unknown'],
    ['permessage-deflate, permessage-deflate'],
    ['x-other'],
  ])('%s must not be agreed on', (text) => {
    expect(agreed(text)).toBe('bad');
  });

  it('are none where nothing was agreed on', () => {
    expect(readDeflate([])).toBeNull();
  });
});
