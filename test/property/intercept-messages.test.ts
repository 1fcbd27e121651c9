/**
 * Messages with placeholders, however they are cut, compressed and mixed: the upstream gets exactly the same text
 * with the real key, and a placeholder never.
 */
import zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Denied } from '../../src/flow/reason.ts';
import type { CodecTerms } from '../../src/intercept/message-codec.ts';
import { MessageRewriter } from '../../src/intercept/message-rewriter.ts';
import { BytesSearch } from '../../src/secrets/bytes-search.ts';
import { holdsLeak } from '../../src/secrets/hidden.ts';
import { substituteMessage } from '../../src/secrets/substitute.ts';
import { copyMasked, FrameReader, wholeFrame } from '../../src/wire/websocket.ts';
import { authority, SHAPES, world } from '../unit/secrets/world.ts';

const ENV = 'GATEWAY_TOKEN';
const real = 'gateway-REAL-0123456789abcdef';
const scene = world([
  {
    env: ENV,
    shape: SHAPES.openai,
    host: 'gateway.test',
    places: [{ kind: 'websocket' }],
    value: Buffer.from(real),
  },
]);
const { mine } = scene;
const placeholder = scene.holder(ENV);
const theirs = scene.theirs(ENV);
const AT = authority('gateway.test');

type Wrote = { readonly opcode: number; readonly data: Buffer; readonly compress: boolean };
type Got = { readonly opcode: number; readonly data: string };

/** A client that keeps its window from one compressed message to the next, as most do. */
function clientBytes(messages: readonly Wrote[], terms: CodecTerms | null, cuts: readonly number[]): Buffer {
  let window = Buffer.alloc(0);
  const frames = messages.flatMap(({ opcode, data, compress }) => {
    const rsv1 = compress && terms !== null;
    let payload = data;
    if (rsv1) {
      const dictionary = terms.takeover && window.length > 0 ? { dictionary: window } : {};
      const finishFlush = zlib.constants.Z_SYNC_FLUSH;
      payload = zlib.deflateRawSync(data, { finishFlush, ...dictionary }).subarray(0, -4);
      window = Buffer.concat([window, data]).subarray(-32_768);
    }
    return inFragments(payload, cuts).flatMap((piece, index, all) => {
      const fin = index === all.length - 1;
      const frame = wholeFrame(
        { fin, rsv1: rsv1 && index === 0, opcode: index === 0 ? opcode : 0, mask: index * 77 },
        piece,
      );
      const ping = wholeFrame({ fin: true, rsv1: false, opcode: 9, mask: 5 }, Buffer.from('ping'));
      return index === 1 ? [ping, frame] : [frame];
    });
  });
  return Buffer.concat(frames);
}

function inFragments(payload: Buffer, cuts: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (const cut of cuts) {
    if (at + cut >= payload.length) break;
    pieces.push(payload.subarray(at, at + cut));
    at += cut;
  }
  return [...pieces, payload.subarray(at)];
}

/** What an upstream makes of the bytes, with a window of its own. */
function upstreamMessages(bytes: Buffer): Got[] {
  const got: Got[] = [];
  let parts: Buffer[] = [];
  let opcode = 0;
  let compressed = false;
  let payload = Buffer.alloc(0);
  let mask = 0;
  let window = Buffer.alloc(0);
  const reader = new FrameReader(
    { from: 'client', deflate: true },
    {
      frame: (frame) => {
        payload = Buffer.alloc(frame.length);
        mask = frame.mask ?? 0;
        if (frame.opcode >= 8 || frame.opcode === 0) return;
        ({ opcode } = frame);
        compressed = frame.rsv1;
        parts = [];
      },
      payload: (piece, at) => copyMasked(piece, { into: payload, to: at, mask, at }),
      end: (frame) => {
        if (frame.opcode >= 8) return;
        parts.push(payload);
        if (!frame.fin) return;
        let data = Buffer.concat(parts);
        if (compressed) {
          const tail = Buffer.from([0, 0, 255, 255]);
          const finishFlush = zlib.constants.Z_SYNC_FLUSH;
          const dictionary = window.length > 0 ? { dictionary: window } : {};
          data = zlib.inflateRawSync(Buffer.concat([data, tail]), { finishFlush, ...dictionary });
          window = Buffer.concat([window, data]).subarray(-32_768);
        }
        got.push({ opcode, data: data.toString('latin1') });
      },
      fault: (detail) => {
        throw new Error(detail);
      },
    },
  );
  reader.feed(bytes);
  expect(reader.atBoundary).toBe(true);
  return got;
}

/** Payloads of all frames in a row, as far as they came. */
function plainOf(bytes: Buffer): string {
  const parts: string[] = [];
  let mask = 0;
  const reader = new FrameReader(
    { from: 'client', deflate: true },
    {
      frame: (frame) => {
        mask = frame.mask ?? 0;
      },
      payload: (piece, at) => {
        const into = Buffer.alloc(piece.length);
        copyMasked(piece, { into, to: 0, mask, at });
        parts.push(into.toString('latin1'));
      },
      end: () => {},
      fault: (detail) => {
        throw new Error(detail);
      },
    },
  );
  reader.feed(bytes);
  return parts.join('');
}

function through(
  bytes: Buffer,
  terms: CodecTerms | null,
  reads: readonly number[],
): { sent: Buffer; refused: Denied | null; used: Set<string>; taken: number } {
  const sent: Buffer[] = [];
  const used = new Set<string>();
  let refused: Denied | null = null;
  let taken = 0;
  const rewriter = new MessageRewriter({
    deflate: terms,
    substitute: (text) => substituteMessage({ text, bindings: mine, at: AT, secure: true }),
    search: () => new BytesSearch({ bindings: mine, at: AT, secure: true }),
    leaks: (text) => holdsLeak(text, mine.leaks),
    used: (names) => {
      for (const name of names) used.add(name);
    },
    take: (count) => {
      taken += count;
      return true;
    },
    give: (count) => {
      taken -= count;
    },
    fail: (why) => {
      refused = why;
    },
  });
  const sink = {
    write: (part: Buffer | string) => sent.push(Buffer.from(part)) > 0,
  };
  for (const piece of inFragments(bytes, reads)) {
    let left = piece;
    while (left.length > 0) {
      left = left.subarray(rewriter.feed(left));
      rewriter.flush(sink);
    }
  }
  return { sent: Buffer.concat(sent), refused, used, taken };
}

const anyText = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ maxLength: 20 }).map((text) => text.repeat(40)),
);
/** Text in which the placeholder may stand at both ends, alone, or twice. */
const parts = fc.array(fc.oneof(anyText, fc.constant(placeholder)), { maxLength: 5 });
const messages = fc.array(
  fc.record({ parts, compress: fc.boolean(), binary: fc.integer({ min: 0, max: 3 }).map((n) => n === 0) }),
  { minLength: 1, maxLength: 6 },
);
const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 });
const terms = fc.constantFrom<CodecTerms | null>(
  null,
  { takeover: true, windowBits: 15 },
  { takeover: false, windowBits: 15 },
  { takeover: true, windowBits: 9 },
  { takeover: false, windowBits: 8 },
);

describe('a message', () => {
  it('arrives with the key wherever the placeholder stood, and else as it was', () => {
    fc.assert(
      fc.property(messages, terms, sizes, sizes, (all, agreed, cuts, reads) => {
        const wrote = all.map((one) => ({
          opcode: one.binary ? 2 : 1,
          data: Buffer.from(one.parts.filter((part) => !one.binary || part !== placeholder).join('')),
          compress: one.compress,
        }));
        const { sent, refused, used, taken } = through(clientBytes(wrote, agreed, cuts), agreed, reads);
        expect(refused).toBeNull();
        const wanted = wrote.map(({ opcode, data }) => ({
          opcode,
          data: data.toString('latin1').replaceAll(placeholder, real),
        }));
        expect(upstreamMessages(sent)).toEqual(wanted);
        expect(used.size > 0).toBe(wrote.some(({ data }) => data.includes(placeholder)));
        expect(taken).toBe(0);
      }),
      { numRuns: 600 },
    );
  });

  it('with a placeholder that is another’s ends the connection before any of its bytes left', () => {
    fc.assert(
      fc.property(parts, terms, fc.boolean(), sizes, sizes, (text, agreed, compress, cuts, reads) => {
        const good = { opcode: 1, data: Buffer.from('before'), compress };
        const bad = { opcode: 1, data: Buffer.from([...text, theirs, ...text].join('')), compress };
        const bytes = clientBytes([good, bad, good], agreed, cuts);
        const { sent, refused, taken } = through(bytes, agreed, reads);
        expect(refused).toMatchObject({ reason: 'placeholder_unknown' });
        expect(upstreamMessages(sent).length).toBeLessThan(2);
        expect(sent.toString('latin1')).not.toContain(theirs);
        expect(taken).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it('of bytes with a placeholder or a key ends the connection before its end left', () => {
    const held = fc.constantFrom(
      // Cut behind its marker it is nobody's yet.
      [placeholder, /^placeholder_(?:wrong_place|unknown)$/] as const,
      [theirs, /^placeholder_unknown$/] as const,
      [real, /^secret_leak$/] as const,
    );
    fc.assert(
      fc.property(
        parts,
        held,
        terms,
        fc.boolean(),
        sizes,
        sizes,
        (text, bad, agreed, compress, cuts, reads) => {
          const [what, reason] = bad;
          const around = text.filter((part) => part !== placeholder);
          const data = Buffer.from([...around, what, '\u0000', ...around].join(''));
          const bytes = clientBytes([{ opcode: 2, data, compress }], agreed, cuts);
          const { sent, refused, taken } = through(bytes, agreed, reads);
          expect(refused?.reason).toMatch(reason);
          expect(sent.toString('latin1')).not.toContain(what);
          expect(plainOf(sent)).not.toContain(what);
          expect(taken).toBe(0);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('of any bytes at all neither throws nor lets a placeholder through', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), terms, sizes, (bytes, agreed, reads) => {
        expect(() => through(Buffer.from(bytes), agreed, reads)).not.toThrow();
      }),
      { numRuns: 500 },
    );
  });
});
