import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRequestHead, parseResponseHead, type RequestHead } from '../../src/wire/http1-parse.ts';
import {
  chunkHeader,
  LAST_CHUNK,
  rebuildRequestHead,
  rebuildResponseHead,
} from '../../src/wire/http1-write.ts';
import { feedInPieces, recordRequests, recordResponses } from '../unit/wire/record.ts';

type Row = { rawBase64: string; request?: string };
const load = (file: string): Row[] => JSON.parse(readFileSync(`test/cases/${file}.json`, 'utf8')) as Row[];
/** Short rows only: the long ones make shrinking slow and say nothing more about splits. */
const corpus = (file: string): Buffer[] =>
  load(file)
    .map((row) => Buffer.from(row.rawBase64, 'base64'))
    .filter((raw) => raw.length < 2_000);

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 });
const anyBytes = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const fragments = fc.constantFrom(
  'GET / HTTP/1.1',
  'POST http://up.test/ HTTP/1.1',
  'HTTP/1.1 200 OK',
  'HTTP/1.1 100 Continue',
  '\r\n',
  '\r\n\r\n',
  '\n',
  '\r',
  'Host: up.test',
  'Content-Length: 5',
  'Transfer-Encoding: chunked',
  'Connection: close',
  'X: y',
  ' ',
  '5',
  '0',
  'hello',
  ';a=b',
  '\0',
);
const nearHttp = fc.array(fragments, { maxLength: 30 }).map((parts) => Buffer.from(parts.join(''), 'latin1'));
/** A corpus row with some bytes changed. */
const mutated = (raws: readonly Buffer[]): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.constantFrom(...raws),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
    )
    .map(([raw, changes]) => {
      const copy = Buffer.from(raw);
      for (const [at, byte] of changes) copy[at % Math.max(copy.length, 1)] = byte;
      return copy;
    });

const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]{0,11}$/);
const value = fc.string({ unit: fc.constantFrom(...'aZ09 \t,;="\\\u00e9\u00ff/'.split('')), maxLength: 20 });
const plainField = fc
  .tuple(token, value)
  .filter(([name]) => !/^(?:host|content-length|transfer-encoding|connection|expect|upgrade)$/i.test(name))
  .map(([name, text]) => `${name}: ${text}`);
const framingLine = fc.constantFrom(
  '',
  'Content-Length: 0',
  'Content-Length: 0012',
  'Transfer-Encoding: CHUNKED',
);

describe('RequestReader over any bytes', () => {
  const input = fc.oneof(anyBytes, nearHttp, mutated(corpus('http1')));

  it('never throws, and tells nothing after a fault', () => {
    fc.assert(
      fc.property(input, (bytes) => {
        const { reader, events } = recordRequests(true);
        reader.feed(bytes);
        reader.finish();
        const fault = events.findIndex((event) => event.startsWith('fault'));
        expect(fault === -1 || fault === events.length - 1).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it('tells the same however the bytes are split', () => {
    fc.assert(
      fc.property(input, sizes, (bytes, split) => {
        const whole = recordRequests(true);
        feedInPieces(whole.reader, bytes, []);
        whole.reader.finish();
        const pieces = recordRequests(true);
        feedInPieces(pieces.reader, bytes, split);
        pieces.reader.finish();
        expect(pieces.events).toEqual(whole.events);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('ResponseReader over any bytes', () => {
  const input = fc.oneof(anyBytes, nearHttp, mutated(corpus('responses')));

  it('tells the same however the bytes are split, and never throws', () => {
    fc.assert(
      fc.property(input, sizes, fc.constantFrom('GET', 'HEAD'), (bytes, split, method) => {
        const run = (pieces: readonly number[]): unknown => {
          const { reader, events } = recordResponses();
          reader.expect(method);
          feedInPieces(reader, bytes, pieces);
          reader.finish();
          return [events, events.at(-1)?.startsWith('fault') === true || reader.surplus];
        };
        expect(run(split)).toEqual(run([]));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('printing and parsing', () => {
  it('a rebuilt request means what the parsed one meant', () => {
    fc.assert(
      fc.property(
        token,
        fc.array(plainField, { maxLength: 8 }),
        framingLine,
        fc.nat(8),
        fc.boolean(),
        (method, fields, framing, place, dropOverrides) => {
          const lines = [...fields];
          lines.splice(place, 0, 'hOsT: UP.test');
          if (framing !== '') lines.splice(place + 1, 0, framing);
          const head = parseRequestHead([`${method} /x HTTP/1.1`, ...lines].join('\r\n'));
          if ('kind' in head) return;
          const text = rebuildRequestHead(head, { path: '/y?z', host: 'up.test', dropOverrides });
          expect(text.endsWith('\r\n\r\n')).toBe(true);
          const again = parseRequestHead(text.slice(0, -4));
          if ('kind' in again) throw new Error(`${again.detail}: ${JSON.stringify(text)}`);
          expect(again).toMatchObject({ method, target: '/y?z', host: 'up.test', framing: head.framing });
          expect(endToEnd(again, dropOverrides)).toEqual(endToEnd(head, dropOverrides));
          const framings = again.special.filter((field) =>
            /^(?:content-length|transfer-encoding)$/.test(field.name),
          );
          expect(framings).toHaveLength(framing === '' ? 0 : 1);
          expect(rebuildRequestHead(again, { path: '/y?z', host: 'up.test', dropOverrides })).toBe(text);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('a rebuilt response means what the parsed one meant', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 599 }).filter((status) => status !== 407),
        fc.array(plainField, { maxLength: 6 }),
        framingLine,
        fc.constantFrom('GET', 'HEAD'),
        (status, fields, framing, method) => {
          const lines = framing === '' ? fields : [...fields, framing];
          const head = parseResponseHead([`HTTP/1.1 ${status} Why`, ...lines].join('\r\n'), method);
          if ('kind' in head) return;
          const text = rebuildResponseHead(head, { keepAlive: true, framing: head.framing });
          const again = parseResponseHead(text.slice(0, -4), method);
          if ('kind' in again) throw new Error(`${again.detail}: ${JSON.stringify(text)}`);
          expect([again.status, again.framing]).toEqual([status, head.framing]);
          expect(rebuildResponseHead(again, { keepAlive: true, framing: again.framing })).toBe(text);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('a body that is chunked by us is read back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 6 }),
        sizes,
        (chunks, split) => {
          const bodies = chunks.map((chunk) => Buffer.from(chunk));
          const framed = bodies.flatMap((body) => [
            Buffer.from(chunkHeader(body.length)),
            body,
            Buffer.from('\r\n'),
          ]);
          const head = Buffer.from('POST / HTTP/1.1\r\nHost: up.test\r\nTransfer-Encoding: chunked\r\n\r\n');
          const { reader, events } = recordRequests(true);
          feedInPieces(reader, Buffer.concat([head, ...framed, Buffer.from(LAST_CHUNK)]), split);
          const body = Buffer.concat(bodies).toString('latin1');
          expect(events).toEqual(['POST /', ...(body === '' ? [] : [`body ${body}`]), 'end']);
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** Field lines that must come through unchanged, in order. */
function endToEnd(head: RequestHead, dropOverrides: boolean): string[] {
  const gone =
    /^(?:connection|keep-alive|te|trailer|upgrade|http2-settings|proxy-.*|host|content-length|transfer-encoding):/i;
  const overrides = /^x-(?:http-method(?:-override)?|method-override|original-url|rewrite-url):/i;
  return head.text
    .slice(head.fieldsAt)
    .split('\r\n')
    .filter((line) => line !== '' && !gone.test(line) && !(dropOverrides && overrides.test(line)));
}
