/** Head of a request as an API client sends it: parse, look at the target, rebuild. */
import { parseAuthority } from '../../src/wire/authority.ts';
import { parseRequestHead, parseRequestTarget } from '../../src/wire/http1-parse.ts';
import { rebuildRequestHead } from '../../src/wire/http1-write.ts';
import type { Piece } from './runner.ts';

export const HEAD = `${[
  'POST /v1/chat/completions HTTP/1.1',
  'Host: api.openai.com',
  'User-Agent: OpenAI/Python 1.54.0',
  'Accept: application/json',
  'Accept-Encoding: gzip, deflate',
  'Connection: keep-alive',
  'Content-Type: application/json',
  'Content-Length: 1024',
  'X-Stainless-Lang: python',
  'X-Stainless-Package-Version: 1.54.0',
  'X-Stainless-OS: Linux',
  'X-Stainless-Arch: x64',
  'X-Stainless-Runtime: CPython',
  'X-Stainless-Runtime-Version: 3.13.0',
  'Authorization: Bearer KEY',
  'X-Request-Id: 01JDFQ8Q2N0000000000000000',
].join('\r\n')}\r\n\r\n`;

/** As the reader hands it to the parser: without the empty line. */
const LINES = HEAD.slice(0, -4);

export function wirePieces(): Piece[] {
  return [
    { name: 'wire: parse a request head of 16 fields', run: () => parseRequestHead(LINES), budget: 4 },
    { name: 'wire: parse, target, rebuild', run: rebuilt, budget: 7 },
    { name: 'wire: parse an authority', run: () => parseAuthority('api.openai.com:443') },
  ];
}

function rebuilt(): unknown {
  const head = parseRequestHead(LINES);
  if (!('special' in head)) throw new Error(`the sample head was refused: ${head.reason}`);
  parseRequestTarget(head);
  return rebuildRequestHead(head, {
    path: '/v1/chat/completions',
    host: 'api.openai.com',
    dropOverrides: true,
  });
}
