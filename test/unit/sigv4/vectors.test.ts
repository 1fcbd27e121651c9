/**
 * Signatures that AWS publishes (S3 API reference, "Examples: signature calculations"; IAM user guide; the signature test
 * suite): a request that is signed with placeholders gets, signed again, exactly those.
 */
import { describe, expect, it } from 'vitest';
import { isDenied } from '../../../src/flow/reason.ts';
import { SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER, SignedChunks } from '../../../src/sigv4/chunks.ts';
import { momentOf } from '../../../src/sigv4/claim.ts';
import { findSignature, type Resigned, Resigning } from '../../../src/sigv4/resign.ts';
import { authorization, hex, presign, type SignAsk, signedChunks } from '../../helpers/sigv4.ts';
import { keySet } from './bindings.ts';

const PLACEHOLDERS = { id: 'AKIAQQQQQQQQQQQQQQQQ', secret: 'placeholderplaceholderplaceholderplaceho' };
const S3 = { id: 'AKIAIOSFODNN7EXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
const SUITE = { id: 'AKIDEXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const S3_SCOPE = { region: 'us-east-1', service: 's3', at: '20130524T000000Z' };
const SUITE_SCOPE = { region: 'us-east-1', service: 'service', at: '20150830T123600Z' };
const EMPTY = hex('');

type Vector = Omit<SignAsk, 'id' | 'secret'> & { readonly body?: string };

const bucket = (url: string, more: Record<string, string> = {}, over: Partial<Vector> = {}): Vector => {
  const payload = over.payload ?? EMPTY;
  const headers = {
    host: 'examplebucket.s3.amazonaws.com',
    'x-amz-content-sha256': payload,
    'x-amz-date': S3_SCOPE.at,
    ...more,
  };
  return { method: 'GET', url, headers, payload, ...S3_SCOPE, ...over };
};
const suite = (method: string, url: string, more: Record<string, string> = {}, body = ''): Vector => ({
  method,
  url,
  headers: { host: 'example.amazonaws.com', 'x-amz-date': SUITE_SCOPE.at, ...more },
  payload: hex(body),
  body,
  ...SUITE_SCOPE,
});

/** The text of the head that the client signed with the placeholders. */
function headOf(vector: Vector, url: string, auth: string | null): string {
  const headers = Object.entries(vector.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const line = auth === null ? '' : `Authorization: ${auth}\r\n`;
  return `${vector.method} ${url} HTTP/1.1\r\n${headers.join('')}${line}\r\n`;
}

async function signedAgain(
  vector: Vector,
  how: { real: typeof S3; url?: string; presigned?: boolean },
): Promise<Resigned> {
  const url = how.url ?? vector.url;
  const auth = how.presigned === true ? null : authorization({ ...vector, ...PLACEHOLDERS });
  const head = headOf(vector, url, auth);
  const found = findSignature({
    method: vector.method,
    path: url,
    head,
    sets: keySet(PLACEHOLDERS, how.real),
    at: { host: 'example', port: 443, kind: 'name' } as never,
    secure: true,
    now: momentOf(vector.at),
  });
  if (!(found instanceof Resigning)) throw new Error(JSON.stringify(found));
  const text = vector.body ?? '';
  const signed = await found.sign(found.vacate(head), { hash: hex(text), text });
  if (isDenied(signed)) throw new Error(JSON.stringify(signed));
  return signed;
}

describe('a request signed again', () => {
  it.each<[string, Vector, typeof S3, string]>([
    [
      'S3: GET of a part of an object',
      bucket('/test.txt', { range: 'bytes=0-9' }),
      S3,
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    ],
    [
      'S3: PUT of an object whose name is percent-encoded',
      bucket(
        '/test%24file.text',
        { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
        { method: 'PUT', payload: hex('Welcome to Amazon S3.') },
      ),
      S3,
      '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    ],
    [
      'S3: a query without a value',
      bucket('/?lifecycle'),
      S3,
      'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    ],
    [
      'S3: list of objects',
      bucket('/?max-keys=2&prefix=J'),
      S3,
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    ],
    [
      'IAM: ListUsers',
      {
        ...suite('GET', '/?Action=ListUsers&Version=2010-05-08', {
          'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
          host: 'iam.amazonaws.com',
        }),
        service: 'iam',
      },
      SUITE,
      '5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
    ],
    [
      'suite: get-vanilla',
      suite('GET', '/'),
      SUITE,
      '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31',
    ],
  ])('%s: the signature that AWS publishes', async (_name, vector, real, expected) => {
    const { head, realSignature } = await signedAgain(vector, { real });
    expect(realSignature).toBe(expected);
    expect(head).toContain(
      `Credential=${real.id}/${vector.at.slice(0, 8)}/us-east-1/${vector.service}/aws4_request`,
    );
    expect(head).toContain(`Signature=${expected}\r\n`);
    expect(head.split(' ')[1]).toBe(vector.url);
  });

  it('as a presigned URL: the one that AWS publishes, in the same order', async () => {
    const vector: Vector = {
      method: 'GET',
      url: '/test.txt',
      headers: { host: 'examplebucket.s3.amazonaws.com' },
      payload: 'UNSIGNED-PAYLOAD',
      ...S3_SCOPE,
    };
    const url = presign({ ...vector, ...PLACEHOLDERS }, 86_400);
    const { head } = await signedAgain(vector, { real: S3, url, presigned: true });
    expect(head.split(' ')[1]).toBe(
      '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
        '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
        '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
    );
  });

  const chunked = (payload: string, more: Record<string, string>): Vector =>
    ({
      method: 'PUT',
      url: '/examplebucket/chunkObject.txt',
      headers: {
        host: 's3.amazonaws.com',
        'x-amz-content-sha256': payload,
        'x-amz-date': S3_SCOPE.at,
        'x-amz-storage-class': 'REDUCED_REDUNDANCY',
        'content-encoding': 'aws-chunked',
        'x-amz-decoded-content-length': '66560',
        ...more,
      },
      payload,
      ...S3_SCOPE,
    }) satisfies Vector;
  const pieces = [Buffer.alloc(65_536, 'a'), Buffer.alloc(1024, 'a')];

  it.each([
    [
      'without trailers',
      chunked(SIGNED_CHUNKS, { 'content-length': '66824' }),
      null,
      [
        '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
        'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
        '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
        'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
      ],
    ],
    [
      'with a trailer',
      chunked(SIGNED_CHUNKS_TRAILER, { 'x-amz-trailer': 'x-amz-checksum-crc32c' }),
      'x-amz-checksum-crc32c:sOO8/Q==',
      [
        '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e',
        'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
        '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
        '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
        'd81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435',
      ],
    ],
  ])(
    'in chunks %s: every signature that AWS publishes, wherever the stream is cut',
    async (_name, vector, trailer, expected) => {
      const own = { ...vector, ...PLACEHOLDERS };
      for (const size of [1, 7, 4096, 100_000]) {
        const signed = await signedAgain(vector, { real: S3 });
        expect(signed.realSignature).toBe(expected[0]);
        const body = signedChunks(own, signed.ownSignature, pieces, trailer);
        const room = {
          held: 0,
          take: (bytes: number) => {
            room.held += bytes;
            return true;
          },
          give: (bytes: number) => {
            room.held -= bytes;
          },
        };
        const machine = new SignedChunks(
          {
            at: vector.at,
            scope: { date: '20130524', region: 'us-east-1', service: 's3' },
            trailer: trailer !== null,
            room,
          },
          signed,
        );
        const out: Buffer[] = [];
        for (let at = 0; at < body.length; at += size) {
          expect(machine.feed(Buffer.from(body.subarray(at, at + size)), out)).toBeNull();
        }
        expect(machine.end()).toBeNull();
        expect(room.held).toBe(0);
        const text = Buffer.concat(out).toString('latin1');
        expect(text.length).toBe(body.length);
        expect([...text.matchAll(/signature[=:]([0-9a-f]{64})/g)].map(([, found]) => found)).toEqual(
          expected.slice(1),
        );
        machine.stop();
        if (size === 1) expect(text).toContain('400;chunk-signature=');
      }
    },
  );
});
