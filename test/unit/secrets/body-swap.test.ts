import { describe, expect, it } from 'vitest';
import { bodyTypeOf } from '../../../src/secrets/body-type.ts';
import { HEADER_ONLY_REAL, holder, jsonAll, PLAIN_REAL, percentAll, REAL, send, theirs } from './bodies.ts';

const ODD = holder('ODD');
const TOKEN = holder('TOKEN');

describe('the type of a body', () => {
  it.each([
    [null, 'text'],
    ['application/json; charset=utf-8', 'json'],
    ['application/vnd.api+JSON', 'json'],
    ['application/x-ndjson', 'json'],
    ['application/x-www-form-urlencoded', 'form'],
    ['text/plain', 'text'],
    ['application/x-unheard-of', 'text'],
    ['image/svg+xml', 'text'],
    ['image/png', 'opaque'],
    ['application/grpc+proto', 'opaque'],
    ['application/octet-stream', 'opaque'],
    ['text/plain; charset=UTF-16LE', 'opaque'],
    ['multipart/form-data', 'opaque'],
    ['multipart/form-data; boundary=', 'opaque'],
  ])('%s is %s', (type, format) => {
    expect(bodyTypeOf(type === null ? [] : [type])).toEqual({ kind: 'single', format });
  });

  it.each([
    ['multipart/form-data; boundary=abc', 'abc'],
    ['multipart/form-data; charset=utf-8; boundary="a b c"', 'a b c'],
    ['Multipart/Related; Boundary=x; type=a', 'x'],
  ])('%s has the boundary %s', (type, boundary) => {
    expect(bodyTypeOf([type])).toEqual({ kind: 'multipart', boundary });
  });
});

describe('a placeholder in a body', () => {
  it('of JSON becomes the key as a JSON string writes it', () => {
    const sent = send('application/json', JSON.stringify({ key: ODD, other: [TOKEN] }));
    expect(JSON.parse(sent.body)).toEqual({ key: REAL, other: [PLAIN_REAL] });
    expect(sent.used).toEqual(['ODD', 'TOKEN']);
  });

  it('of JSON is known in escapes, too, whole or in part', () => {
    expect(JSON.parse(send('application/json', `{"key":"${jsonAll(ODD)}"}`).body)).toEqual({ key: REAL });
    const mixed = ODD.slice(0, 9) + jsonAll(ODD.slice(9, 12)) + ODD.slice(12);
    expect(JSON.parse(send('application/json', `{"key":"${mixed}"}`).body)).toEqual({ key: REAL });
  });

  it('of JSON is percent-encoded where it was so', () => {
    const body = send('application/json', JSON.stringify({ url: `https://x/?k=${percentAll(ODD)}` })).body;
    expect(JSON.parse(body)).toEqual({ url: `https://x/?k=${encodeURIComponent(REAL)}` });
  });

  it('of a form becomes the key percent-encoded', () => {
    const fields = new URLSearchParams({ a: 'b c', key: ODD });
    const sent = send('application/x-www-form-urlencoded', fields.toString());
    expect([...new URLSearchParams(sent.body)]).toEqual([
      ['a', 'b c'],
      ['key', REAL],
    ]);
    expect(send('application/x-www-form-urlencoded', `key=${ODD}`).body).toBe(
      `key=${encodeURIComponent(REAL)}`,
    );
    expect(send('application/x-www-form-urlencoded', `key=${percentAll(ODD)}`).body).toBe(
      `key=${encodeURIComponent(REAL)}`,
    );
  });

  it('of text, and of a type that nobody knows, becomes the key as it is', () => {
    for (const type of ['text/plain', 'application/x-unheard-of', null]) {
      expect(send(type, `a ${ODD} b`).body).toBe(`a ${REAL} b`);
    }
  });

  it.each([
    [['application/octet-stream']],
    [['image/png']],
    [['text/plain; charset=utf-16']],
    [['text/plain;charset="IBM037"']],
    [['application/json; charset=utf-7']],
    [['text/plain; charset = " cp1047"']],
    [["text/plain; charset*=us-ascii''IBM037"]],
    [['application/x-www-form-urlencoded; charset=utf-8; charset=cp500']],
    [['text/plain', 'text/html']],
  ])('of %s is refused, since a key could break it', (types) => {
    expect(send(types, `a ${ODD} b`).reason).toBe('placeholder_wrong_place');
    expect(send(types, 'a \x00\xff b')).toMatchObject({ reason: null, body: 'a \x00\xff b' });
  });

  it.each([
    ['another identity', theirs('TOKEN'), 'placeholder_unknown'],
    ['nobody', 'ghp_SLYPRTQX0123456789abcdef0123456789', 'placeholder_unknown'],
    ['a key that may not stand in bodies', holder('SID'), 'placeholder_wrong_place'],
    ['a key of another host', holder('AWAY'), 'placeholder_wrong_host'],
    ['a key that its source does not give', holder('GONE'), 'secret_unavailable'],
    ['a key, in other letters', TOKEN.toUpperCase(), 'placeholder_unknown'],
  ])('of %s is refused', (_, text, reason) => {
    for (const spelt of [text, percentAll(text), jsonAll(text)]) {
      expect(send('application/json', `{"key":"${spelt}"}`).reason, spelt).toBe(reason);
      expect(send('application/json', `{"key":"${spelt}"}`, [1]).reason, spelt).toBe(reason);
    }
  });

  it.each([
    ['a mark of UTF-16', `\xff\xfe${TOKEN}`],
    ['the other mark', `\xfe\xff\x00"${TOKEN}\x00"`],
    ['half a character of UTF-16', `"\x00${TOKEN}"\x00`],
  ])('behind %s is refused: some readers take it for other text, which they may repeat', (_, body) => {
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded', null]) {
      for (const cuts of [[], [1], [3]])
        expect(send(type, body, cuts)).toMatchObject({ reason: 'placeholder_wrong_place', used: [] });
    }
  });

  it('does not hold back what cannot be one', () => {
    expect(send('text/plain', 'a line\n').body).toBe('a line\n');
  });

  it('more often than a message may hold them is refused', () => {
    expect(send('text/plain', `${TOKEN}\n`.repeat(4096)).reason).toBeNull();
    expect(send('text/plain', `${TOKEN}\n`.repeat(4097)).reason).toBe('body_too_large');
  });
});

describe('a real key in a body', () => {
  it.each([REAL, PLAIN_REAL, HEADER_ONLY_REAL])('is refused in every spelling: %s', (key) => {
    for (const spelt of [key, percentAll(key), jsonAll(key)]) {
      for (const cuts of [[], [1], [7, 3]]) {
        expect(send('text/plain', `x${spelt}y`, cuts).reason, spelt).toBe('secret_leak');
      }
    }
  });

  it('is refused in a body of bytes, too', () => {
    expect(send('application/octet-stream', `\x00${PLAIN_REAL}\xff`).reason).toBe('secret_leak');
  });
});

describe('a body in UTF-16', () => {
  const wide = (text: string, swap: boolean): string => {
    const bytes = Buffer.from(text, 'utf16le');
    return (swap ? bytes.swap16() : bytes).toString('latin1');
  };
  const TYPES = ['application/json; charset=utf-16', 'application/json', 'application/octet-stream'];

  it.each(TYPES)('is refused with a placeholder or a real key, announced or not: %s', (type) => {
    for (const swap of [false, true]) {
      for (const cuts of [[], [1], [7, 3], [64]]) {
        const reasonOf = (text: string): string | null =>
          send(type, wide(`\ufeff{"k":"${text}"}`, swap), cuts).reason;
        expect(reasonOf(holder('TOKEN'))).toMatch(/^placeholder_(?:wrong_place|unknown)$/);
        expect(reasonOf(theirs('TOKEN'))).toBe('placeholder_unknown');
        expect(reasonOf(PLAIN_REAL)).toBe('secret_leak');
        expect(reasonOf('nothing to see')).toBeNull();
      }
    }
    expect(send(type, wide(holder('TOKEN'), false)).reason).toBe('placeholder_wrong_place');
  });
});

describe('a multipart body', () => {
  const TYPE = 'multipart/form-data; boundary=B0';
  const part = (content: string, head = 'Content-Disposition: form-data; name="a"'): string =>
    `--B0\r\n${head}\r\n\r\n${content}\r\n`;
  const end = '--B0--\r\n';

  it('has its parts swapped as their types want it', () => {
    const json = 'Content-Disposition: form-data; name="j"\r\nContent-Type: application/json';
    const body = (key: string, inJson: string): string =>
      `${part(`one ${key}`)}${part(`{"k":"${inJson}"}`, json)}${part('')}${end}`;
    for (const cuts of [[], [1], [5, 2]]) {
      const sent = send(TYPE, body(ODD, ODD), cuts);
      expect(sent).toMatchObject({ reason: null, body: body(REAL, JSON.stringify(REAL).slice(1, -1)) });
    }
  });

  it('without a placeholder goes up as it came, whatever it holds', () => {
    const bytes = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join('');
    const file = 'Content-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: image/png';
    const body = `preamble\r\n${part(bytes, file)}${part('\r\n--B\r\n')}${part('', '')}${end}epilogue`;
    for (const cuts of [[], [1], [3, 11]])
      expect(send(TYPE, body, cuts)).toMatchObject({ reason: null, body });
  });

  it.each([
    ['a header of a part', part('x', `Content-Disposition: form-data; name="${TOKEN}"`) + end],
    ['a part of bytes', part(TOKEN, 'Content-Type: image/png') + end],
    ['a part in base64', part(TOKEN, 'Content-Transfer-Encoding: base64') + end],
    ['a multipart in a part', part(TOKEN, 'Content-Type: multipart/mixed; boundary=B1') + end],
    ['the preamble', `${TOKEN}\r\n${part('x')}${end}`],
    ['the epilogue', `${part('x')}${end}${TOKEN}`],
    ['a header that does not end', `--B0\r\nX: ${TOKEN}`],
  ])('is refused where a placeholder stands in %s', (_, body) => {
    expect(send(TYPE, body).reason).toBe('placeholder_wrong_place');
    expect(send(TYPE, body, [1]).reason).toBe('placeholder_wrong_place');
  });

  it('of very many parts is read in one go, not again for each', () => {
    const body = part('', '').repeat(40_000) + end;
    const from = process.cpuUsage().user;
    expect(send(TYPE, body)).toMatchObject({ reason: null, body });
    expect(process.cpuUsage().user - from).toBeLessThan(5_000_000);
  });

  it('is refused where a line may be a boundary or not, or a header has no end', () => {
    expect(send(TYPE, `${part('x')}--B01\r\n\r\ny\r\n${end}`).reason).toBe('bad_request');
    expect(send(TYPE, `--B0\r\nX: ${'x'.repeat(20_000)}`).reason).toBe('bad_request');
  });
});
