/** A head that a peer repeats is not parsed again, and means what it would mean by itself. */
import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recordRequests, recordResponses } from './record.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const LONG = `X: ${'x'.repeat(3000)}\r\n`;

/** Heads that end a message by themselves or with five bytes, as the method says. */
const ANSWERS = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
  `HTTP/1.1 200 OK\r\n${LONG}Content-Length: 5\r\n\r\n`,
  'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
];

function bodyOf(method: string, head: string): string {
  if (method === 'HEAD' || !head.includes(' 200 ')) return '';
  return head.includes('chunked') ? '5\r\nabcde\r\n0\r\n\r\n' : 'abcde';
}

describe('a head that is repeated', () => {
  it('of a request is told as the same object, also behind an empty line, and another one is not', () => {
    const { reader, heads, events } = recordRequests(true);
    const head = 'GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n';
    reader.feed(bytes(`${head}${head}\r\n${head}GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n${head}`));
    expect(events.filter((event) => event !== 'end')).toEqual([
      'GET /1',
      'GET /1',
      'GET /1',
      'GET /2',
      'GET /1',
    ]);
    expect(heads[1]).toBe(heads[0]);
    expect(heads[2]).toBe(heads[0]);
    expect(heads[4]).toEqual(heads[0]);
  });

  it('of a long request is parsed each time: every idle connection would keep one', () => {
    const { reader, heads } = recordRequests(true);
    const head = `GET / HTTP/1.1\r\nHost: a.test\r\n${LONG}\r\n`;
    reader.feed(bytes(head + head));
    expect(heads[1]).toEqual(heads[0]);
    expect(heads[1]).not.toBe(heads[0]);
  });

  it('of an answer means what the method of its own request says, whatever came before', () => {
    const asked = fc.tuple(fc.constantFrom('GET', 'HEAD'), fc.constantFrom(...ANSWERS));
    fc.assert(
      fc.property(fc.array(asked, { minLength: 2, maxLength: 12 }), (all) => {
        const kept = recordResponses();
        for (const [method, head] of all) {
          const fresh = recordResponses();
          const before = kept.events.length;
          for (const { reader } of [kept, fresh]) {
            reader.expect(method);
            reader.feed(bytes(head + bodyOf(method, head)));
          }
          expect(kept.events.slice(before)).toEqual(fresh.events);
          expect(kept.reader.surplus).toBe(fresh.reader.surplus);
        }
      }),
      { numRuns: 500 },
    );
  });
});
