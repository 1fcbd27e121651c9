/** What an upstream says that a key is bound to: the key goes back as the placeholder, however it is said. */
import zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, metric, placeholderIn, policy, profile, records } from '../helpers/scene.ts';
import { askOnce, connectTls, type Talk } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REAL = 'ghp_REALgithub0123456789abcdefghijklmnop';
const moreBehind = Buffer.concat([zlib.brotliCompressSync('abc'), Buffer.from(REAL)]);

describe('an answer from a host with a key', () => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let client: Talk;
  let at = '';
  let placeholder = '';
  /** heads that the upstream got */
  const asked: string[] = [];
  /** what it says, in writes of its own */
  let answer: readonly (string | Buffer)[] = [];
  let more: ((bytes: string | Buffer) => void) | null = null;

  beforeAll(async () => {
    raw = await rawUpstream(
      (socket) => {
        more = (bytes) => void socket.write(bytes);
        socket.on('data', (bytes) => {
          asked.push(bytes.toString('latin1'));
          for (const part of answer) socket.write(part);
        });
      },
      { name: 'raw.test' },
    );
    at = `raw.test:${raw.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'bare.yaml': policy([intercepted(at)], { group: 'bare', sources: '127.0.0.9/32' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at] }]),
      },
      hosts: { 'raw.test': ['127.0.0.1'] },
      env: { REAL },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    placeholder = placeholderIn(env.json(), 'API_KEY');
    client = await connectTls(world.port, at, { ca: world.caPem });
  });
  afterAll(async () => {
    client.destroy();
    await world.stop();
    await raw.close();
  });

  const ask = (fields = '', method = 'GET') =>
    client.ask(`${method} / HTTP/1.1\r\nHost: ${at}\r\n${fields}\r\n`, { head: method === 'HEAD' });
  const sized = (body: string | Buffer, fields = ''): (string | Buffer)[] => [
    `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`,
    body,
  ];

  it('of known length has the placeholder and the right length', async () => {
    answer = sized(`{"key":"${REAL}","hex":"${Buffer.from(REAL).toString('hex')}"}`);
    const reply = await ask();
    expect(reply.body.toString()).toBe(
      `{"key":"${placeholder}","hex":"${Buffer.from(placeholder).toString('hex')}"}`,
    );
    expect(reply.field('content-length')).toBe(String(reply.body.length));
  });

  it('has the placeholder in every field, the redirect and cookies among them, and in the reason', async () => {
    answer = [
      `HTTP/1.1 302 no ${REAL}\r\nLocation: /?k=${REAL}\r\nSet-Cookie: k=${REAL}\r\nSet-Cookie: b=${Buffer.from(REAL).toString('base64')}\r\nContent-Length: 0\r\n\r\n`,
    ];
    const reply = await ask();
    expect(reply.head).not.toContain(REAL);
    expect(reply.head).toContain(`Location: /?k=${placeholder}\r\nSet-Cookie: k=${placeholder}\r\n`);
    expect(reply.head).toContain(`Set-Cookie: b=${Buffer.from(placeholder).toString('base64')}`);
  });

  it('in chunks of one byte, beside names that are no references', async () => {
    const chunks = Array.from(`<p>&toString; &valueOf; ${REAL}</p>`, (char) => `1\r\n${char}\r\n`).join('');
    answer = [`HTTP/1.1 200 OK\r\nX-Odd: &valueOf;\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`];
    const reply = await ask();
    expect(reply.body.toString()).toBe(`<p>&toString; &valueOf; ${placeholder}</p>`);
    expect(reply.field('x-odd')).toBe('&valueOf;');
  });

  it('in chunks, cut inside the key, and in trailers', async () => {
    const half = REAL.slice(0, 11);
    const rest = REAL.slice(11);
    answer = [
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
      `${half.length.toString(16)}\r\n${half}\r\n`,
      `${rest.length.toString(16)}\r\n${rest}\r\n`,
      `0\r\nX-Key: ${REAL}\r\n\r\n`,
    ];
    client.write(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    await client.head();
    const tail = `\r\n0\r\nX-Key: ${placeholder}\r\n\r\n`;
    const body = `28\r\n${placeholder}${tail}`;
    expect((await client.bytes(body.length)).toString()).toBe(body);
  });

  const said = (key: string): Readonly<Record<string, string>> => ({
    'an interim head': `HTTP/1.1 103 Early Hints\r\nLink: <https://${key}@x.test/>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`,
    'an answer without a body': `HTTP/1.1 204 ${key}\r\nX-Key: ${key}\r\n\r\n`,
    'an answer that was not modified': `HTTP/1.1 304 Not Modified\r\nETag: "${key}"\r\n\r\n`,
    'a redirect with user and password': `HTTP/1.1 307 Go\r\nLocation: https://u:${key}@x.test/\r\nContent-Length: 0\r\n\r\n`,
    'the name of a field, and bytes that are no text': `HTTP/1.1 200 OK\r\nX-${key}: \xfc${key}\xfc\r\nContent-Length: 0\r\n\r\n`,
    'ranges that nobody asked for': `HTTP/1.1 206 Part\r\nContent-Type: multipart/byteranges; boundary=b\r\nContent-Length: 86\r\n\r\n--b\r\nContent-Range: bytes 0-39/99\r\n\r\n${key}\r\n--b--\r\n`,
    'a body without a type, in no encoding by name': `HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 40\r\n\r\n${key}`,
  });
  it.each(Object.keys(said('')))('has the placeholder in %s', async (name) => {
    const own = await connectTls(world.port, at, { ca: world.caPem });
    answer = [Buffer.from(said(REAL)[name] ?? '', 'latin1')];
    own.write(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    const wanted = said(placeholder)[name] ?? '';
    expect((await own.bytes(wanted.length)).toString('latin1')).toBe(wanted);
    own.destroy();
  });

  it('has both placeholders where two keys touch one another in the credentials that it repeats', async () => {
    const basic = (credentials: string): string => `Basic ${Buffer.from(credentials).toString('base64')}`;
    for (const user of ['u', 'us', 'use']) {
      answer = sized(`{"authorization":"${basic(`${user}:${REAL}${REAL}`)}"}`);
      const sent = basic(`${user}:${placeholder}${placeholder}`);
      const reply = await ask(`Authorization: ${sent}\r\n`);
      expect(asked.at(-1)).toContain(basic(`${user}:${REAL}${REAL}`));
      expect(reply.body.toString()).toBe(`{"authorization":"${sent}"}`);
    }
  });

  it.each(['utf-8', 'UTF8', '"iso-8859-1"', 'US-ASCII', 'windows-1252', 'Shift_JIS', ''])(
    'in charset %s goes on',
    async (charset) => {
      answer = sized(`a ${REAL} b`, `Content-Type: text/plain; charset=${charset}\r\n`);
      expect((await ask()).body.toString()).toBe(`a ${placeholder} b`);
    },
  );

  it('of messages that say they are in no encoding goes on', async () => {
    answer = sized(`a ${REAL} b`, 'grpc-encoding: identity\r\n');
    expect((await ask()).body.toString()).toBe(`a ${placeholder} b`);
  });

  it('in one encoding and none at all is decoded', async () => {
    for (const coding of [
      'gzip, identity',
      'identity, GZIP',
      'gzip\r\nContent-Encoding: identity',
      'gzip,',
    ]) {
      answer = sized(zlib.gzipSync(`a ${REAL} b`), `Content-Encoding: ${coding}\r\n`);
      expect((await ask()).body.toString()).toBe(`a ${placeholder} b`);
    }
  });

  it('longer than what is held goes on in chunks', async () => {
    const filler = 'x'.repeat(100_000);
    answer = sized(`${filler}${REAL}${filler}`);
    expect((await ask()).body.toString()).toBe(`${filler}${placeholder}${filler}`);
  });

  it.each([
    ['gzip', zlib.gzipSync],
    ['x-gzip', zlib.gzipSync],
    ['deflate', zlib.deflateSync],
    ['deflate', zlib.deflateRawSync],
    ['br', zlib.brotliCompressSync],
    ['zstd', zlib.zstdCompressSync],
  ] as const)('in %s is decoded, and says so', async (coding, compress) => {
    const filler = 'some text '.repeat(20_000);
    const body = compress(Buffer.from(filler + REAL + filler));
    answer = sized(body, `Content-Encoding: ${coding}\r\nDigest: x\r\n`);
    const reply = await ask();
    expect(reply.body.toString()).toBe(filler + placeholder + filler);
    expect(reply.field('content-encoding')).toBeUndefined();
    expect(reply.field('digest')).toBeUndefined();
  });

  it.each([
    ['gzip', zlib.gzipSync],
    ['zstd', zlib.zstdCompressSync],
  ] as const)('in several parts of %s is decoded to its end', async (coding, compress) => {
    const body = Buffer.concat([compress(`a ${REAL.slice(0, 9)}`), compress(REAL.slice(9)), compress(' b')]);
    answer = sized(body, `Content-Encoding: ${coding}\r\n`);
    expect((await ask()).body.toString()).toBe(`a ${placeholder} b`);
    expect((await ask()).body.toString()).toBe(`a ${placeholder} b`);
  });

  it.each([
    ['gzip', () => zlib.createGzip()],
    ['deflate', () => zlib.createDeflate()],
    ['br', () => zlib.createBrotliCompress()],
    ['zstd', () => zlib.createZstdCompress()],
  ] as const)('sends each event of a stream in %s on as it comes', async (coding, open) => {
    const own = await connectTls(world.port, at, { ca: world.caPem });
    answer = [`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: ${coding}\r\n\r\n`];
    own.write(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    await own.head();
    const compressor = open();
    compressor.on('data', (bytes: Buffer) => more?.(bytes));
    for (const event of ['data: one\n\n', 'data: two\n\n']) {
      compressor.write(event);
      compressor.flush();
      expect((await own.bytes(16)).toString()).toBe(`b\r\n${event}\r\n`);
    }
    compressor.close();
    own.destroy();
  });

  it('is asked for whole and not compressed, since pieces of what is decoded would tell of a guess', async () => {
    answer = sized('ok');
    asked.length = 0;
    await ask('Range: bytes=1-2\r\nIf-Range: "x"\r\nAccept-Encoding: gzip;q=1.0, dcb, *;q=0.1, zstd\r\n');
    await ask('Accept-Encoding: dcz\r\n');
    for (const name of [
      'Range',
      'If-Range',
      'A-IM',
      'Dictionary-ID',
      'x-ms-range',
      'grpc-accept-encoding',
      'Connect-Accept-Encoding',
    ])
      await ask(`${name}: bytes=1-2\r\n`);
    expect(asked.join('').toLowerCase()).not.toContain('bytes=1-2');
    expect(asked[0]?.toLowerCase()).not.toContain('range');
    expect(asked[0]).toContain('Accept-Encoding: identity\r\n');
    expect(asked[1]).toContain('Accept-Encoding: identity\r\n');
  });

  it('to HEAD, and without a body, keeps what it says of one', async () => {
    answer = ['HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n'];
    expect((await ask('', 'HEAD')).field('content-length')).toBe('1234');
  });

  it('to HEAD does not tell how long a key and a guess become in one compressed body', async () => {
    const guess = async (text: string): Promise<string> => {
      const length = zlib.gzipSync(`${REAL} ${text}`).length;
      answer = [`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${length}\r\n\r\n`];
      return (await ask('', 'HEAD')).head;
    };
    const wrong = await guess('ghp_0123456789abcdefghij');
    expect(await guess(REAL.slice(0, 24))).toBe(wrong);
    answer = ['HTTP/1.1 304 Not Modified\r\nContent-Encoding: br\r\nContent-Length: 99\r\nEtag: "a"\r\n\r\n'];
    const reply = await ask();
    expect([reply.field('content-length'), reply.field('etag')]).toEqual([undefined, '"a"']);
  });

  it('sends each event of a stream on as it comes', async () => {
    answer = ['HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'];
    client.write(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    await client.head();
    for (const [text, wanted] of [
      ['data: one\n\n', 'b\r\ndata: one\n\n\r\n'],
      [`data: ${REAL}\n\n`, `${(8 + placeholder.length).toString(16)}\r\ndata: ${placeholder}\n\n\r\n`],
    ] as const) {
      more?.(`${text.length.toString(16)}\r\n${text}\r\n`);
      expect((await client.bytes(wanted.length)).toString()).toBe(wanted);
    }
    more?.('0\r\n\r\n');
    await client.bytes(5);
  });

  it('is counted and named in the record', async () => {
    answer = sized(REAL);
    const before = await metric(world, 'sallyport_scrubbed_total{group="agents",key="API_KEY"}');
    await ask();
    await eventually(
      async () =>
        (await metric(world, 'sallyport_scrubbed_total{group="agents",key="API_KEY"}')) === before + 1,
    );
    const ends = await records(world, { kind: 'end', stage: 'request' });
    expect(ends.at(-1)?.['scrubbed']).toEqual(['API_KEY']);
    expect(JSON.stringify(await world.audit())).not.toContain(REAL);
  });

  it.each([
    ['an encoding that is not known', 'Content-Encoding: compress\r\n', 'nope', 'response_unscrubbable'],
    ['two encodings', 'Content-Encoding: gzip, br\r\n', 'nope', 'response_unscrubbable'],
    ['messages that are compressed', 'Grpc-Encoding: gzip\r\n', 'nope', 'response_unscrubbable'],
    [
      'EBCDIC, which Accept may ask for',
      'Content-Type: text/plain;charset=IBM037\r\n',
      'nope',
      'response_unscrubbable',
    ],
    ['UTF-32', 'content-type: text/plain; charset="utf-32"\r\n', 'nope', 'response_unscrubbable'],
    ['two charsets', 'Content-Type: a/b; charset=utf-8; charset=cp500\r\n', 'nope', 'response_unscrubbable'],
    ['the same of Connect', 'connect-content-encoding: br\r\n', 'nope', 'response_unscrubbable'],
    ['a body that is not what it says', 'Content-Encoding: gzip\r\n', 'nope', 'upstream_bad_response'],
    ['a body with more behind it', 'Content-Encoding: br\r\n', moreBehind, null],
    ['a body that is cut off', 'Content-Encoding: gzip\r\n', zlib.gzipSync('abc').subarray(0, 15), null],
    [
      'a body that is too good to be true',
      'Content-Encoding: gzip\r\n',
      zlib.gzipSync(Buffer.alloc(4_000_000)),
      null,
    ],
  ])('in %s is refused', async (_, fields, body, reason) => {
    const own = await connectTls(world.port, at, { ca: world.caPem });
    answer = sized(body, fields);
    const reply = await own.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`).catch(() => null);
    own.destroy();
    // What has begun is broken off.
    if (reason === null) expect(reply).toBeNull();
    else expect(reply?.json()).toMatchObject({ status: 502, reason });
  });

  it('to a group that has no key there is left alone', async () => {
    const other = await connectTls(world.port, at, { ca: world.caPem, localAddress: '127.0.0.9' });
    const body = zlib.gzipSync(REAL);
    answer = sized(body, 'Content-Encoding: gzip\r\n');
    asked.length = 0;
    const reply = await other.ask(
      `GET / HTTP/1.1\r\nHost: ${at}\r\nRange: bytes=0-9\r\nAccept-Encoding: dcb\r\n\r\n`,
    );
    expect(asked[0]).toContain('Range: bytes=0-9\r\nAccept-Encoding: dcb\r\n');
    expect(reply.field('content-encoding')).toBe('gzip');
    expect(reply.field('content-length')).toBe(String(body.length));
    other.destroy();
  });
});
