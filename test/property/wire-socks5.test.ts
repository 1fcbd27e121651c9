import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type SocksEvent, SocksReader } from '../../src/wire/socks5.ts';
import { greetingBytes, loginBytes, requestBytes } from '../helpers/socks.ts';

/** The longest message: a login of two fields of 255 bytes. */
const MAX_MESSAGE_BYTES = 513;

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 });
const host = fc.oneof(
  fc.stringMatching(/^[a-z][a-z0-9]{0,9}(\.[a-z][a-z0-9]{0,9}){0,3}$/),
  fc.string({ unit: 'binary-ascii', maxLength: 80 }),
  fc.constantFrom('127.0.0.1', '[::1]', '[2001:db8::1]'),
);
const conversation = fc
  .record({ host, port: fc.nat(65_535), command: fc.nat(4), login: fc.boolean(), asName: fc.boolean() })
  .map((of) =>
    Buffer.concat([
      of.login ? greetingBytes(0, 2) : greetingBytes(0),
      ...(of.login ? [loginBytes('token')] : []),
      requestBytes(`${of.host}:${of.port}`, of),
      Buffer.from('early'),
    ]),
  );
const mutated = fc
  .tuple(
    conversation,
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
    fc.nat(100),
  )
  .map(([raw, changes, cut]) => {
    const copy = Buffer.from(raw.subarray(0, Math.max(0, raw.length - (cut % 2 === 0 ? 0 : cut))));
    for (const [at, byte] of changes) if (copy.length > 0) copy[at % copy.length] = byte;
    return copy;
  });
const input = fc.oneof(
  fc.uint8Array({ maxLength: 700 }).map((bytes) => Buffer.from(bytes)),
  mutated,
);

/** All events, and how many bytes had to come before each. */
function run(raw: Buffer, split: readonly number[]): { events: unknown[]; after: number } {
  const reader = new SocksReader();
  const events: unknown[] = [];
  let after = 0;
  for (let at = 0, turn = 0; at < raw.length; turn++) {
    const size = split[turn % Math.max(split.length, 1)] ?? raw.length;
    const piece = Buffer.from(raw.subarray(at, at + size));
    at += size;
    reader.push(piece);
    piece.fill(0xaa);
    for (let event = reader.read(); event.kind !== 'more'; event = reader.read()) {
      events.push(withoutRest(event));
      after = Math.min(at, raw.length);
    }
  }
  return { events, after };
}

function withoutRest(event: SocksEvent): unknown {
  return event.kind === 'request' ? { ...event, rest: null } : event;
}

describe('SocksReader over any bytes', () => {
  it('never throws, and says the same however the bytes are split', () => {
    fc.assert(
      fc.property(input, sizes, (raw, split) => {
        expect(run(raw, split).events).toEqual(run(raw, []).events);
      }),
      { numRuns: 2_000 },
    );
  });

  it('gives at most one greeting, one login and one request, in that order', () => {
    fc.assert(
      fc.property(input, (raw) => {
        const kinds = run(raw, [1])
          .events.map((event) => (event as SocksEvent).kind)
          .join(' ');
        expect(kinds).toMatch(/^(greeting)?( login)?( request| bad)?$|^bad$/);
      }),
      { numRuns: 1_000 },
    );
  });

  it('waits for no more than one message', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 255 }),
        fc.uint8Array({ minLength: 600, maxLength: 700 }),
        (type, bytes) => {
          const reader = new SocksReader();
          reader.push(greetingBytes(2));
          reader.read();
          reader.push(Buffer.concat([Buffer.from([1]), bytes.subarray(0, MAX_MESSAGE_BYTES - 1)]));
          expect(reader.read().kind, String(type)).toBe('login');
        },
      ),
      { numRuns: 200 },
    );
  });
});
