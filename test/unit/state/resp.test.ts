/** RESP 2: what Redis says, cut anywhere, and what it never says. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commandText, RedisRefusal, type Reply, RespReader } from '../../../src/state/resp.ts';

/** A reply as Redis writes it. */
function textOf(reply: Reply): string {
  if (reply === null) return '$-1\r\n';
  if (typeof reply === 'number') return `:${reply}\r\n`;
  if (typeof reply === 'string') return `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`;
  if (reply instanceof RedisRefusal) return `-${reply.message}\r\n`;
  return `*${reply.length}\r\n${reply.map(textOf).join('')}`;
}

const simple: fc.Arbitrary<Reply> = fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.constant(null));
const reply: fc.Arbitrary<Reply> = fc.oneof(simple, fc.array(fc.oneof(simple, fc.array(simple))));

describe('a reader of RESP', () => {
  it('reads what was written, wherever it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(reply, { maxLength: 4 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (replies, cuts) => {
          const bytes = Buffer.from(replies.map(textOf).join(''));
          const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
          const reader = new RespReader();
          const read = at.slice(1).flatMap((end, index) => reader.feed(bytes.subarray(at[index], end)));
          expect(read).toEqual(replies);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('reads a status, a refusal, empty lists and nothing', () => {
    const read = new RespReader().feed(Buffer.from('+OK\r\n-ERR no\r\n*0\r\n*-1\r\n$0\r\n\r\n:-7\r\n'));
    expect(read).toEqual(['OK', new RedisRefusal('ERR no'), [], null, '', -7]);
  });

  it('throws one kind of error for any other bytes, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          new RespReader().feed(Buffer.from(bytes));
        } catch (error) {
          expect(String(error)).toMatch(/no Redis|more than there can be/);
        }
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['a type that there is not', '!3\r\nfoo\r\n'],
    ['a length that is none', '$x\r\n'],
    ['a length below nothing', '$-2\r\n'],
    ['a value beyond the cap', '$99999999999\r\n'],
    ['a list beyond the cap', '*999999999\r\n'],
    ['lists in lists in lists', '*1\r\n'.repeat(5)],
    ['a value without its end', '$3\r\nfooXX'],
    ['a line without a return', '+OK\n'],
    ['a line that does not end', 'x'.repeat(9_000)],
    ['a status that does not end', `+${'x'.repeat(9_000)}\r\n`],
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
  ])('refuses %s', (_title, text) => {
    expect(() => new RespReader().feed(Buffer.from(text))).toThrow('no Redis');
  });

  it('refuses an answer that has no end', () => {
    const reader = new RespReader();
    reader.feed(Buffer.from('*1000000\r\n'));
    const part = Buffer.from(textOf('x'.repeat(1_000_000)));
    expect(() => {
      for (let sent = 0; sent < 100; sent += 1) reader.feed(part);
    }).toThrow('more than there can be');
  });

  it('writes commands by bytes, so that no word can be two', () => {
    expect(commandText(['SET', 'ä', 'a\r\n$3\r\nb', 7])).toBe(
      '*4\r\n$3\r\nSET\r\n$2\r\nä\r\n$8\r\na\r\n$3\r\nb\r\n$1\r\n7\r\n',
    );
  });
});
