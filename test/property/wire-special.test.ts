/** The fields that matter to a proxy are found whatever stands around them: held against the pattern that says it in one line. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRequestHead } from '../../src/wire/http1-parse.ts';

const SPECIAL =
  /\r\n(host|content-length|transfer-encoding|connection|keep-alive|proxy-[^:]*|upgrade|http2-settings|expect|te|trailer|alt-svc|x[-_](?:http[-_]method(?:[-_]override)?|method[-_]override|original[-_]url|rewrite[-_]url)):([^\r]*)/gi;
const NAMES = [
  'keep-alive', 'proxy-', 'proxy-x', 'proxy', 'http2-settings', 'te', 'trailer', 'alt-svc', 'x-http-method',
  'x-http-method-override', 'x-http-method-', 'x-method-override', 'x-original-url', 'x-rewrite-url', 'x-rewrite-urls',
  'hosts', 'hos', 'tee', 'accept', 'content-type', 'xx-http-method', 'trailers', 'h', 'content_length',
  'x_http_method', 'X-Original_URL', 'x_rewrite_urls', 'http2_settings', 'proxy_x',
]; // biome-ignore format: a list

const name = fc.oneof(
  fc
    .constantFrom(...NAMES)
    .chain((text) =>
      fc
        .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
        .map((upper) =>
          upper.map((isUpper, at) => (isUpper ? text.charAt(at).toUpperCase() : text.charAt(at))).join(''),
        ),
    ),
  fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,24}$/),
);
const value = fc.stringMatching(/^[\t -~\x80-\xff]{0,20}$/);

describe('the special fields of a head', () => {
  it('are those of the pattern, with their places', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), (fields) => {
        const lines = fields.map(([key, text]) => `\r\n${key}:${text}`).join('');
        const text = `GET / HTTP/1.1\r\nHost: a.test${lines}`;
        const head = parseRequestHead(text);
        if ('kind' in head) return;
        const expected = Array.from(
          text.matchAll(SPECIAL),
          ({ 0: whole, 1: key = '', 2: rest = '', index }) => ({
            name: /^x[-_]/i.test(key) ? key.toLowerCase().replaceAll('_', '-') : key.toLowerCase(),
            value: rest.replace(/^[\t ]+|[\t ]+$/g, ''),
            start: index,
            end: index + whole.length,
          }),
        );
        expect(head.special).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });
});
