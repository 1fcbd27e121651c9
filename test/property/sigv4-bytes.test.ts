/** The readers of what a sandbox signed: any text and any bytes get an answer, and what was taken is given back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SignedChunks } from '../../src/sigv4/chunks.ts';
import { partsOf, readClaim } from '../../src/sigv4/claim.ts';
import type { Signer } from '../../src/sigv4/signer.ts';
import { type SignAsk, signedChunks } from '../helpers/sigv4.ts';

const SCOPE = { date: '20261122', region: 'r', service: 's3' };
const SEED = 'a'.repeat(64);
const AUTH = `AWS4-HMAC-SHA256 Credential=AKIA/20261122/r/s3/aws4_request, SignedHeaders=host, Signature=${SEED}`;
/** Takes everything: so that what comes behind a signature is reached. */
const anySigner: Signer = { sign: () => SEED, verifies: () => true, drop: () => {} };

function machine(trailer: boolean) {
  const room = {
    held: 0,
    take: (bytes: number): boolean => {
      room.held += bytes;
      return true;
    },
    give: (bytes: number): void => {
      room.held -= bytes;
    },
  };
  const seed = {
    head: '',
    own: anySigner,
    ownSignature: SEED,
    real: anySigner,
    realSignature: SEED,
  };
  return { room, chunks: new SignedChunks({ at: '20261122T000000Z', scope: SCOPE, trailer, room }, seed) };
}

describe('a claim', () => {
  it('is read from any text without a throw', () => {
    const bits = fc.constantFrom(
      ...AUTH.split(/(?=[ ,;=/])/),
      '%',
      '&',
      '\t',
      'X-Amz-Date=',
      'x-amz-date',
      '\u00ff',
    );
    const text = fc.array(bits, { maxLength: 30 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, text, text, (auth, query, field) => {
        const head = `GET /?${query} HTTP/1.1\r\nauthorization: ${auth}\r\n${field}: ${auth}\r\n\r\n`;
        readClaim(partsOf(head, 'GET', `/p?${query}`));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('signed chunks', () => {
  it('of any bytes are refused or passed on, and all room is given back', () => {
    const piece = fc.oneof(
      fc.constantFrom(`5;chunk-signature=${SEED}\r\n`, `0;chunk-signature=${SEED}\r\n`, '\r\n', 'hello'),
      fc.constantFrom(`x-amz-trailer-signature:${SEED}\r\n`, 'ffffffff;', '\n', 'a:b\r\n'),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.boolean(), (pieces, trailer) => {
        const { room, chunks } = machine(trailer);
        const out: Buffer[] = [];
        const refused = pieces.some((text) => chunks.feed(Buffer.from(text, 'latin1'), out) !== null);
        const ended = refused ? null : chunks.end();
        chunks.stop();
        expect(room.held).toBe(0);
        const came = pieces.join('');
        // What is whole comes out as long as it went in.
        if (!refused && ended === null)
          expect(Buffer.concat(out).length).toBe(Buffer.byteLength(came, 'latin1'));
      }),
      { numRuns: 2_000 },
    );
  });

  it('come out the same wherever they are cut', () => {
    const ask: SignAsk = {
      id: 'x',
      secret: 'x',
      method: 'PUT',
      url: '/',
      headers: {},
      region: 'r',
      service: 's3',
      at: '20261122T000000Z',
      payload: '',
    };
    const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 4 });
    fc.assert(
      fc.property(
        sizes,
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }),
        (lengths, trailer, cuts) => {
          const data = lengths.map((length) => Buffer.alloc(length, 'z'));
          const body = signedChunks(ask, SEED, data, trailer ? 'x-amz-checksum-crc32:AA==' : null);
          const { chunks } = machine(trailer);
          const out: Buffer[] = [];
          let at = 0;
          for (let n = 0; at < body.length; n += 1) {
            const to = at + (cuts[n % cuts.length] ?? 1);
            expect(chunks.feed(Buffer.from(body.subarray(at, to)), out)).toBeNull();
            at = to;
          }
          expect(chunks.end()).toBeNull();
          const plain = body.toString('latin1').replace(/(signature[=:])[0-9a-f]{64}/g, `$1${SEED}`);
          expect(Buffer.concat(out).toString('latin1')).toBe(plain);
        },
      ),
      { numRuns: 300 },
    );
  });
});
