import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { RequestReader } from '../../../src/wire/http1-reader.ts';
import { ResponseReader } from '../../../src/wire/http1-response-reader.ts';
import { feedInPieces, recordRequests, recordResponses } from './record.ts';

const HOST = '\r\nHost: up.test';
const GET = `GET /1 HTTP/1.1${HOST}\r\n\r\n`;
const CHUNKED = `POST /c HTTP/1.1${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n`;
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

function events(text: string, limits = {}): string[] {
  const { reader, events } = recordRequests(true, limits);
  feedInPieces(reader, bytes(text), []);
  reader.finish();
  return events;
}

describe('RequestReader', () => {
  it('tells head, body and end, then holds what follows until next()', () => {
    const { reader, events } = recordRequests(false);
    reader.feed(bytes(`POST /1 HTTP/1.1${HOST}\r\nContent-Length: 3\r\n\r\nabc${GET}`));
    expect(events).toEqual(['POST /1', 'body abc', 'end']);
    expect(reader.held).toBe(GET.length);
    expect(reader.midMessage).toBe(false);
    reader.feed(bytes('GET /2'));
    expect(reader.held).toBe(GET.length + 6);
    reader.next();
    expect(events.slice(3)).toEqual(['GET /1', 'end']);
    expect(reader.held).toBe(6);
    reader.next();
    expect(reader.held).toBe(0);
    expect(reader.midMessage).toBe(true);
    reader.feed(bytes(` HTTP/1.1${HOST}\r\n\r\n`));
    expect(events.slice(5)).toEqual(['GET /2', 'end']);
  });

  it('copies what it keeps: the read buffer is overwritten after each feed', () => {
    const { reader, events, heads } = recordRequests(true);
    feedInPieces(reader, bytes(`${CHUNKED}3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n${GET}`), [1]);
    expect(events).toEqual(['POST /c', 'body abc', 'end', 'GET /1', 'end']);
    expect(heads[1]?.text).toBe(GET.slice(0, -4));
  });

  it('decodes chunks and drops extensions and trailers', () => {
    expect(events(`${CHUNKED}3;a="b;c"\r\nabc\r\n00A\r\n0123456789\r\n000;x\r\nHost: evil\r\n\r\n`)).toEqual([
      'POST /c',
      'body abc0123456789',
      'end',
    ]);
  });

  it.each([
    ['a bare LF behind the size', '3\nabc\r\n0\r\n\r\n'],
    ['a bare CR behind the size', '3\rabc\r\n0\r\n\r\n'],
    ['a space behind the size', '3 \r\nabc\r\n0\r\n\r\n'],
    ['a tab before the extension', '3\t;x\r\nabc\r\n0\r\n\r\n'],
    ['an extension without a name', '3;\r\nabc\r\n0\r\n\r\n'],
    ['no size', '\r\nabc\r\n0\r\n\r\n'],
    ['0x', '0x3\r\nabc\r\n0\r\n\r\n'],
    ['a sign', '-3\r\nabc\r\n0\r\n\r\n'],
    ['an underscore', '1_0\r\nabc\r\n0\r\n\r\n'],
    ['a size above 2^53', '20000000000000\r\nabc'],
    ['a size of 17 digits', '00000000000000003\r\nabc\r\n0\r\n\r\n'],
    ['data shorter than its size', '4\r\nabc\r\n0\r\n\r\n'],
    ['data longer than its size', '2\r\nabc\r\n0\r\n\r\n'],
    ['another byte and LF behind the data', '3\r\nabc!\n0\r\n\r\n'],
    ['CR CR LF behind the data', '3\r\nabc\r\r\n0\r\n\r\n'],
    ['LF behind the last chunk', '3\r\nabc\r\n0\n\n'],
    ['an LF to end the trailers', '3\r\nabc\r\n0\r\nT: 1\n\r\n\r\n'],
    ['a trailer without a colon', '3\r\nabc\r\n0\r\nT\r\n\r\n'],
    ['a trailer with a space before the colon', '3\r\nabc\r\n0\r\nT : 1\r\n\r\n'],
    ['a folded trailer', '3\r\nabc\r\n0\r\nT: 1\r\n 2\r\n\r\n'],
    ['a trailer section above its cap', `0\r\nT: ${'x'.repeat(8_192)}\r\n\r\n`],
    ['129 trailers', `0\r\n${'T:\r\n'.repeat(129)}\r\n`],
    ['an extension above its cap', `3;${'x'.repeat(1_025)}\r\nabc\r\n0\r\n\r\n`],
    ['extensions above their cap', `${`1;${'x'.repeat(1_000)}\r\na\r\n`.repeat(17)}0\r\n\r\n`],
  ])('refuses a chunked body with %s', (_title, body) => {
    expect(events(`${CHUNKED}${body}${GET}`).at(-1)).toBe('fault bad_request');
    expect(events(`${CHUNKED}${body}${GET}`)).not.toContain('GET /1');
  });

  it('tolerates one empty line before a request, not two', () => {
    expect(events(`\r\n${GET}\r\n${GET}`)).toEqual(['GET /1', 'end', 'GET /1', 'end']);
    expect(events(`\r\n\r\n${GET}`)).toEqual(['fault bad_request']);
    expect(events(`\n${GET}`)).toEqual(['fault bad_request']);
    const { reader, events: told } = recordRequests(true);
    reader.feed(bytes('\r\n'));
    expect(reader.midMessage).toBe(false);
    reader.finish();
    expect(told).toEqual([]);
  });

  it.each([
    ['bare LF line ends', 'GET / HTTP/1.1\nHost: up.test\n\n'],
    ['NUL', 'GET /\0'],
    ['CR without LF', 'GET / HTTP/1.1\r\nHost: up.test\r\n\rX'],
    ['a TLS record', '\u0016\u0003\u0001'],
  ])('faults at once, without waiting for the end of the head: %s', (_title, text) => {
    const { reader, events } = recordRequests(true);
    reader.feed(bytes(text));
    expect(events).toEqual(['fault bad_request']);
  });

  it('caps the head', () => {
    const long = (size: number): string => {
      const start = `GET / HTTP/1.1${HOST}`;
      const rest = size - start.length - 2 * '\r\nX: '.length - 4;
      return `${start}\r\nX: ${'x'.repeat(16_000)}\r\nX: ${'y'.repeat(rest - 16_000)}\r\n\r\n`;
    };
    expect(long(32_000)).toHaveLength(32_000);
    expect(events(long(32_000))).toEqual(['GET /', 'end']);
    expect(events(long(32_000), { maxHeadBytes: 32_000 })).toEqual(['GET /', 'end']);
    expect(events(long(32_000), { maxHeadBytes: 31_999 })).toEqual(['fault header_too_large']);
    const { reader, events: told } = recordRequests(true);
    feedInPieces(reader, bytes(`GET /${'x'.repeat(40_000)}`), [1_000]);
    expect(told).toEqual(['fault header_too_large']);
  });

  it.each([
    ['inside a head', 'GET / HT'],
    ['inside a body', `POST / HTTP/1.1${HOST}\r\nContent-Length: 9\r\n\r\nabc`],
    ['inside a chunk', `${CHUNKED}5\r\nab`],
    ['before the last chunk', `${CHUNKED}2\r\nab\r\n`],
    ['inside the trailers', `${CHUNKED}0\r\n`],
  ])('faults when the client ends %s', (_title, text) => {
    expect(events(text).at(-1)).toBe('fault bad_request');
  });

  it('ends quietly between requests, and faults later for the half request that it held', () => {
    expect(events(GET)).toEqual(['GET /1', 'end']);
    const { reader, events: told } = recordRequests(false);
    reader.feed(bytes(`${GET}GET /2`));
    reader.finish();
    expect(told).toEqual(['GET /1', 'end']);
    reader.next();
    expect(told.at(-1)).toBe('fault bad_request');
  });

  it('hands over what follows a CONNECT, from inside head(), end() and later', () => {
    const hello = '\u0016\u0003\u0001rest';
    const connect = `CONNECT up.test:443 HTTP/1.1${HOST}:443\r\n\r\n`;
    const { reader, events } = recordRequests(false);
    reader.feed(bytes(connect + hello));
    reader.feed(bytes('more'));
    expect(reader.takeRest().toString('latin1')).toBe(`${hello}more`);
    reader.feed(bytes('ignored'));
    reader.next();
    reader.finish();
    expect(events).toEqual(['CONNECT up.test:443', 'end']);
    for (const moment of ['head', 'end'] as const) {
      const rests: string[] = [];
      const take = (at: string) => (): void => {
        if (at === moment) rests.push(early.takeRest().toString('latin1'));
      };
      const early: RequestReader = new RequestReader({
        head: take('head'),
        end: take('end'),
        body: () => rests.push('body'),
        fault: () => rests.push('fault'),
      });
      early.feed(bytes(connect + hello));
      early.feed(bytes('ignored'));
      expect(rests).toEqual([hello]);
    }
  });

  it('faults when more is sent ahead than it will hold', () => {
    const { reader, events } = recordRequests(false);
    reader.feed(bytes(GET));
    reader.feed(Buffer.alloc(98_304));
    expect(events).toEqual(['GET /1', 'end']);
    reader.feed(Buffer.alloc(1));
    expect(events.at(-1)).toBe('fault bad_request');
    expect(reader.held).toBe(0);
  });

  it('tells nothing more once a sink has stopped it or has thrown', () => {
    const told: string[] = [];
    const reader: RequestReader = new RequestReader({
      head: () => told.push('head'),
      body() {
        told.push('body');
        reader.takeRest();
      },
      end: () => told.push('end'),
      fault: () => told.push('fault'),
    });
    reader.feed(bytes(`${CHUNKED}1\r\na\r\n1\r\nb\r\nbad`));
    expect(told).toEqual(['head', 'body']);

    const broken = new RequestReader({
      head() {
        throw new Error('a bug');
      },
      body: () => told.push('body'),
      end: () => told.push('end'),
      fault: () => told.push('fault'),
    });
    expect(() => broken.feed(bytes(GET + GET))).toThrow('a bug');
    broken.feed(bytes(GET));
    expect(told).toHaveLength(2);
  });

  it('answers next() from inside end() without recursion', () => {
    const { reader, events } = recordRequests(true);
    reader.feed(bytes(`GET / HTTP/1.1${HOST}\r\n\r\n`.repeat(20_000)));
    expect(events).toHaveLength(40_000);
  });

  it('refuses to be fed from inside a callback', () => {
    const reader: RequestReader = new RequestReader({
      head: () => reader.feed(bytes(GET)),
      body: () => undefined,
      end: () => undefined,
      fault: () => undefined,
    });
    expect(() => reader.feed(bytes(GET))).toThrow(/inside a callback/);
  });
});

describe('ResponseReader', () => {
  const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

  it('tells interim heads, the head, the body and the end, again and again', () => {
    const { reader, events } = recordResponses();
    reader.expect('GET');
    expect([reader.started, reader.headDone]).toEqual([false, false]);
    feedInPieces(
      reader,
      bytes(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${OK}`),
      [7],
    );
    expect([reader.started, reader.headDone, reader.surplus]).toEqual([true, true, false]);
    reader.expect('HEAD');
    expect([reader.started, reader.headDone]).toEqual([false, false]);
    reader.feed(bytes('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'));
    expect(events).toEqual(['interim 100', 'interim 103', '200 length', 'body ok', 'end', '200 none', 'end']);
  });

  it('ends an unframed body with the connection', () => {
    const { reader, events } = recordResponses();
    reader.expect('GET');
    reader.feed(bytes('HTTP/1.1 200 OK\r\n\r\nab'));
    reader.feed(bytes('c'));
    reader.finish();
    expect(events).toEqual(['200 eof', 'body abc', 'end']);
    reader.feed(bytes('late'));
    expect(reader.surplus).toBe(true);
  });

  it.each([
    ['before the head', ''],
    ['inside the head', 'HTTP/1.1 200 OK\r\nA'],
    ['inside the body', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab'],
    ['before the last chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n'],
    ['after an interim response', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ])('faults when the upstream ends %s', (_title, text) => {
    const { reader, events } = recordResponses();
    reader.expect('GET');
    reader.feed(bytes(text));
    expect(reader.started).toBe(text !== '');
    reader.finish();
    expect(events.at(-1)).toBe('fault upstream_bad_response');
  });

  it('never delivers a response that nobody asked for', () => {
    const { reader, events } = recordResponses();
    reader.feed(bytes(OK));
    expect([reader.surplus, events]).toEqual([true, []]);
    const other = recordResponses();
    other.reader.expect('GET');
    other.reader.feed(bytes(OK));
    other.reader.feed(bytes(OK));
    expect([other.reader.surplus, other.events]).toEqual([true, ['200 length', 'body ok', 'end']]);
  });

  it('knows of surplus bytes before it tells the end, and never reads them as the next response', () => {
    const told: string[] = [];
    const reader: ResponseReader = new ResponseReader({
      interim: () => told.push('interim'),
      head: (head) => told.push(String(head.status)),
      body: (body) => told.push(body.toString()),
      end() {
        told.push(`end, surplus ${reader.surplus}`);
        reader.expect('GET');
      },
      fault: () => told.push('fault'),
    });
    reader.expect('GET');
    reader.feed(bytes(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON`));
    reader.feed(bytes(OK));
    expect(told).toEqual(['200', 'ok', 'end, surplus true']);
  });

  it('caps interim responses', () => {
    const { reader, events } = recordResponses();
    reader.expect('GET');
    reader.feed(bytes('HTTP/1.1 102 Processing\r\n\r\n'.repeat(9)));
    expect(events).toHaveLength(9);
    expect(events.at(-1)).toBe('fault upstream_bad_response');
  });

  it('hands over what follows a 101', () => {
    const rests: string[] = [];
    const reader: ResponseReader = new ResponseReader({
      interim: () => rests.push('interim'),
      head: () => rests.push(reader.takeRest().toString('latin1')),
      body: () => rests.push('body'),
      end: () => rests.push('end'),
      fault: () => rests.push('fault'),
    });
    reader.expect('GET');
    reader.feed(bytes('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u0081\u0001x'));
    expect(rests).toEqual(['\u0081\u0001x']);
    expect(reader.surplus).toBe(false);
  });

  it('faults at the first bytes that are not HTTP/1', () => {
    for (const text of ['<html>', 'HTTP/2', 'http/1.1', '\r\nHTTP/1.1 200 OK', 'SSH-2.0']) {
      const { reader, events } = recordResponses();
      reader.expect('GET');
      reader.feed(bytes(text));
      expect(events, text).toEqual(['fault upstream_bad_response']);
    }
  });

  it('is used wrongly when a response is announced while one is being read', () => {
    const { reader } = recordResponses();
    reader.expect('GET');
    expect(() => reader.expect('GET')).toThrow(/still being read/);
  });
});
