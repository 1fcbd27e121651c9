import { describe, expect, it } from 'vitest';
import { HeldBytes } from '../../../src/base/held-bytes.ts';
import { HeldBody } from '../../../src/intercept/held-body.ts';
import { buildLeakIndex } from '../../../src/secrets/leaks.ts';
import { indexPlaceholders } from '../../../src/secrets/placeholder-index.ts';

function scene() {
  const handed: Buffer[] = [];
  const held = new HeldBody(
    {
      ahead: new HeldBytes(),
      bindings: () => ({
        bindings: [],
        known: indexPlaceholders([]),
        leaks: buildLeakIndex({ current: [], revoked: [] }),
      }),
    },
    {
      identity: { id: 'group:agents', group: 'agents', proof: 'source' },
      head: { framing: { kind: 'chunked' }, text: 'POST / HTTP/1.1\r\n\r\n' },
      side: { pause: () => {} },
      record: { requestId: '1' },
    },
  );
  /** The buffer of a read is used again. */
  const read = Buffer.alloc(64 * 1024);
  const add = (text: string): void => {
    held.add(text.length < 512 ? read.subarray(0, read.write(text, 'latin1')) : Buffer.from(text, 'latin1'));
  };
  const hand = (): string => {
    held.handTo({ body: (bytes) => void handed.push(bytes), bodyEnd: () => {}, flush: () => {} });
    return Buffer.concat(handed).toString('latin1');
  };
  return { held, add, hand, handed };
}

describe('the body of a request that waits for a person', () => {
  it('keeps a chunk of one byte as one byte, not as a buffer of its own', () => {
    const { add, hand, handed } = scene();
    const text = Array.from({ length: 40_000 }, (_, at) => String.fromCharCode(97 + (at % 26))).join('');
    for (const char of text) add(char);
    expect(hand() === text).toBe(true);
    expect(handed.length).toBeLessThan(12);
    // What is kept of memory is what the buffers under the pieces have.
    const kept = new Set(handed.map(({ buffer }) => buffer));
    expect([...kept].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(5 * text.length);
  });

  it('keeps small and large pieces in their order', () => {
    const { add, hand } = scene();
    const pieces = ['a', 'b', 'L'.repeat(600), 'c', 'M'.repeat(5000), 'd', 'e'];
    for (const piece of pieces) add(piece);
    expect(hand()).toBe(pieces.join(''));
  });

  it('is shown in the order in which it came, whatever its pieces', () => {
    const { held, add } = scene();
    for (const char of '{"amount": 100}') add(char);
    expect(held.view()?.text).toBe('{"amount": 100}');
  });
});
