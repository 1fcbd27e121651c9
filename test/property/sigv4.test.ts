/**
 * Whatever AWS's own JavaScript signer signs with placeholders comes out signed as the same signer signs it with the real
 * set: any path, query and fields, header or presigned, S3 or not.
 */
import { createHash, createHmac } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';
import type { HttpRequest } from '@smithy/types';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isDenied } from '../../src/flow/reason.ts';
import { findSignature, Resigning } from '../../src/sigv4/resign.ts';
import type { Credentials } from '../helpers/sigv4.ts';
import { keySet } from '../unit/sigv4/bindings.ts';

const RUNS = 400;
const OWN: Credentials = {
  id: 'ASIAQQQQQQQQQQQQQQQQ',
  secret: 'placeholderplaceholderplaceholderplaceho',
  token: 'IQoJb3JpZ2luX2VjPlaceholderToken',
};
const REAL: Credentials = {
  id: 'ASIAREALREALREALREAL',
  secret: 'rEaL/secret+KEY',
  token: 'IQoJb3JpZ2luX2Vj//real+token==',
};
const NOW = new Date('2026-11-22T12:00:00Z');

class Sha256 {
  readonly #hash;
  constructor(secret?: unknown) {
    const key = typeof secret === 'string' || secret instanceof Uint8Array ? secret : null;
    this.#hash = key === null ? createHash('sha256') : createHmac('sha256', key);
  }
  update(data: unknown): void {
    if (typeof data === 'string' || data instanceof Uint8Array) this.#hash.update(data);
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#hash.digest()));
  }
}

const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

const text = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((value) => value.isWellFormed());
const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
const request = fc.record({
  s3: fc.boolean(),
  presigned: fc.boolean(),
  method: fc.constantFrom('GET', 'PUT', 'DELETE'),
  segments: fc.array(fc.oneof(text, fc.constantFrom('', '.', '..')), { maxLength: 4 }),
  query: fc.dictionary(
    text.filter((name) => !/^x-amz/i.test(name) && name !== '__proto__'),
    text,
    { maxKeys: 4 },
  ),
  fields: fc.dictionary(
    word.filter(
      (name) => !['host', 'content-length', 'te', 'expect', 'from', 'date', 'range'].includes(name),
    ),
    fc.stringMatching(/^[!-~]( {0,3}[!-~]){0,10}$/),
    { maxKeys: 4 },
  ),
});

function targetOf({ path, query = {} }: HttpRequest): string {
  const pairs = Object.entries(query).map(([name, value]) => `${encode(name)}=${encode(String(value))}`);
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
}

const headOf = (signed: HttpRequest): string => {
  const lines = Object.entries(signed.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${signed.method} ${targetOf(signed)} HTTP/1.1\r\n${lines.join('')}\r\n`;
};

describe('what a JavaScript SDK signs with placeholders', () => {
  it(`comes out as it signs it with the real set, ${RUNS} times`, async () => {
    const sets = keySet(OWN, REAL);
    await fc.assert(
      fc.asyncProperty(request, async ({ s3, presigned, method, segments, query, fields }) => {
        const of = {
          method,
          protocol: 'https:',
          hostname: 'api.test',
          path: `/${segments.map((segment) => encode(segment)).join('/')}`,
          query,
          headers: { host: 'api.test', ...fields },
        };
        const signer = ({ id, secret, token = '' }: Credentials) =>
          new SignatureV4({
            credentials: { accessKeyId: id, secretAccessKey: secret, sessionToken: token },
            region: 'eu-north-1',
            service: s3 ? 's3' : 'execute-api',
            sha256: Sha256,
            uriEscapePath: !s3,
          });
        const payload = s3 ? { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } : {};
        const sign = (by: Credentials): Promise<HttpRequest> =>
          presigned
            ? signer(by).presign(
                { ...of, headers: { ...of.headers, ...payload } },
                { signingDate: NOW, expiresIn: 60, unhoistableHeaders: new Set(['x-amz-content-sha256']) },
              )
            : signer(by).sign(of, { signingDate: NOW });
        const client = await sign(OWN);
        const head = headOf(client);
        const found = findSignature({
          method,
          path: targetOf(client),
          head,
          sets,
          at: { host: 'api.test', port: 443, kind: 'name' } as never,
          secure: true,
          now: NOW.getTime(),
        });
        if (!(found instanceof Resigning)) throw new Error(JSON.stringify(found));
        const hash = createHash('sha256').digest('hex');
        const again = await found.sign(found.vacate(head), { hash, text: '' });
        if (isDenied(again)) throw new Error(JSON.stringify(again));
        expect(again.head.toLowerCase()).toBe(headOf(await sign(REAL)).toLowerCase());
      }),
      { numRuns: RUNS },
    );
  });
});
