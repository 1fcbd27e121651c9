import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HelloReader } from '../../src/wire/hello.ts';
import { alpn, helloMessage, records, serverName } from '../unit/wire/hello-bytes.ts';

const rows = JSON.parse(readFileSync('test/cases/clienthello.json', 'utf8')) as Array<{ rawBase64: string }>;
const corpus = rows.map((row) => Buffer.from(row.rawBase64, 'base64')).filter((raw) => raw.length < 2_000);
const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 10 });
const mutated = fc
  .tuple(
    fc.constantFrom(...corpus),
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
  )
  .map(([raw, changes]) => {
    const copy = Buffer.from(raw);
    for (const [at, byte] of changes) copy[at % copy.length] = byte;
    return copy;
  });
const input = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  mutated,
);

/** The last answer, and what it says beside the bytes: those depend on where the last piece ended. */
function run(raw: Buffer, split: readonly number[]): unknown {
  const reader = new HelloReader();
  let answer = reader.feed(Buffer.alloc(0));
  for (let at = 0, turn = 0; at < raw.length; turn++) {
    const size = split[turn % Math.max(split.length, 1)] ?? raw.length;
    const piece = Buffer.from(raw.subarray(at, at + size));
    answer = reader.feed(piece);
    piece.fill(0xaa);
    at += size;
  }
  return answer.kind === 'hello' ? { sni: answer.sni, alpn: answer.alpn, ech: answer.ech } : answer;
}

describe('HelloReader over any bytes', () => {
  it('never throws, and answers the same however the bytes are split', () => {
    fc.assert(
      fc.property(input, sizes, (raw, split) => {
        expect(run(raw, split)).toEqual(run(raw, []));
      }),
      { numRuns: 1_000 },
    );
  });

  it('reads back what was written, over records of any size', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9]{0,9}(\.[a-z][a-z0-9]{0,9}){0,3}$/);
    const protocols = fc.array(fc.constantFrom('h2', 'http/1.1', 'acme-tls/1'), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(
        name,
        protocols,
        fc.integer({ min: 1, max: 300 }),
        sizes,
        (host, names, recordSize, split) => {
          const raw = records(helloMessage({ extensions: [serverName(host), alpn(...names)] }), recordSize);
          expect(run(raw, split)).toEqual({ sni: host, alpn: names, ech: false });
        },
      ),
      { numRuns: 300 },
    );
  });
});
