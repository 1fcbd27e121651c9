/** Frames, split anywhere and made of anything. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyMasked, type Frame, FrameReader, wholeFrame } from '../../src/wire/websocket.ts';

type Event = string;

function readIn(pieces: readonly Buffer[]): { events: Event[]; boundary: boolean } {
  const events: Event[] = [];
  let payload = Buffer.alloc(0);
  let mask = 0;
  const reader = new FrameReader(
    { from: 'client', deflate: true },
    {
      frame: (frame) => {
        mask = frame.mask ?? 0;
        payload = Buffer.alloc(0);
      },
      payload: (bytes, at) => {
        const plain = Buffer.alloc(bytes.length);
        copyMasked(bytes, { into: plain, to: 0, mask, at });
        payload = Buffer.concat([payload, plain]);
      },
      end: ({ opcode, fin, rsv1 }) => events.push(`${opcode} ${fin} ${rsv1} ${payload.toString('hex')}`),
      fault: (detail) => events.push(detail),
    },
  );
  for (const piece of pieces) reader.feed(piece);
  return { events, boundary: reader.atBoundary };
}

function split(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return [...pieces, bytes.subarray(at)];
}

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 });
const mask = fc.integer({ min: 0, max: 0xffff_ffff });
const payload = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
/** One message in fragments, pings between them. */
const message = fc
  .tuple(
    fc.constantFrom(1, 2),
    fc.boolean(),
    fc.array(fc.tuple(payload, mask, fc.boolean()), { minLength: 1, maxLength: 5 }),
  )
  .map(([opcode, rsv1, parts]) =>
    parts.flatMap(([data, key, ping], index) => {
      const frame: Omit<Frame, 'length'> = {
        fin: index === parts.length - 1,
        rsv1: rsv1 && index === 0,
        opcode: index === 0 ? opcode : 0,
        mask: key,
      };
      const whole = wholeFrame(frame, data);
      const told = `${frame.opcode} ${frame.fin} ${frame.rsv1} ${data.toString('hex')}`;
      const pong = wholeFrame({ fin: true, rsv1: false, opcode: 9, mask: key }, data.subarray(0, 9));
      return ping
        ? [
            { whole: pong, told: `9 true false ${data.subarray(0, 9).toString('hex')}` },
            { whole, told },
          ]
        : [{ whole, told }];
    }),
  );

describe('frames', () => {
  it('are read as they were written, wherever the stream is split', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 4 }), sizes, (messages, cuts) => {
        const frames = messages.flat();
        const { events, boundary } = readIn(split(Buffer.concat(frames.map(({ whole }) => whole)), cuts));
        expect(events).toEqual(frames.map(({ told }) => told));
        expect(boundary).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('of any bytes say the same in one piece and in many, and nothing after a fault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), sizes, (bytes, cuts) => {
        const all = Buffer.from(bytes);
        expect(readIn(split(all, cuts))).toEqual(readIn([all]));
      }),
      { numRuns: 1000 },
    );
  });
});
