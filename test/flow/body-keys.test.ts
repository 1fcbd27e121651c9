/** Placeholders in request bodies: short, long, chunked, compressed, in parts; over HTTP/1.1 to a real server. */
import zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, metric, placeholderIn, policy, profile, records } from '../helpers/scene.ts';
import { askOnce, connectTls, type Reply } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REAL = 'ghp_REALgithub0123456789abcdefghijklmnop-and-more';
const HEADER_REAL = 'sk-REALheaderREALheaderREALheader0123';

describe('a request body to a host with a key that may stand in bodies', () => {
  let upstream: Upstream;
  let plain: Upstream;
  let world: World;
  let at = '';
  let bare = '';
  let mine = '';
  let inHeaders = '';

  beforeAll(async () => {
    upstream = await httpUpstream({ name: 'api.test' });
    plain = await httpUpstream({ name: 'bare.test' });
    at = `api.test:${upstream.port}`;
    bare = `bare.test:${plain.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at), intercepted(bare)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([
          { env: 'BODY_KEY', from: 'env:REAL', hosts: [at], in: ['body'] },
          { env: 'HEADER_KEY', from: 'env:HEADER_REAL', hosts: [at, bare] },
        ]),
      },
      hosts: { 'api.test': ['127.0.0.1'], 'bare.test': ['127.0.0.1'] },
      env: { REAL, HEADER_REAL },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    mine = placeholderIn(env.json(), 'BODY_KEY');
    inHeaders = placeholderIn(env.json(), 'HEADER_KEY');
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
    await plain.close();
  });

  const send = async (fields: string, parts: readonly (string | Buffer)[], to = at): Promise<Reply> => {
    const client = await connectTls(world.port, to, { ca: world.caPem });
    client.write(`POST /x HTTP/1.1\r\nHost: ${to}\r\n${fields}\r\n`);
    for (const part of parts) {
      client.write(part);
      await new Promise(setImmediate);
    }
    const reply = await client.reply();
    client.destroy();
    return reply;
  };
  const sized = (body: string | Buffer, fields = ''): Promise<Reply> =>
    send(`${fields}Content-Length: ${Buffer.byteLength(body)}\r\n`, [body]);
  const chunk = (body: string | Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), Buffer.from(body), Buffer.from('\r\n')]);
  const last = () => upstream.seen.at(-1);

  it('of known length arrives with the key and the right length', async () => {
    expect((await sized(`{"k":"${mine}"}`, 'Content-Type: application/json\r\n')).status).toBe(200);
    expect(last()?.body.toString()).toBe(`{"k":"${REAL}"}`);
    expect(last()?.headers['content-length']).toBe(String(REAL.length + 8));
    expect(last()?.headers['transfer-encoding']).toBeUndefined();
  });

  it('is named in the decision and counted', async () => {
    const before = await metric(world, 'sallyport_substitutions_total{group="agents",key="BODY_KEY"}');
    await sized(mine);
    await eventually(
      async () =>
        (await metric(world, 'sallyport_substitutions_total{group="agents",key="BODY_KEY"}')) === before + 1,
    );
    const decisions = await records(world, { kind: 'decision', stage: 'request' });
    expect(decisions.at(-1)?.['keys']).toEqual(['BODY_KEY']);
    expect(JSON.stringify(await world.audit())).not.toContain(REAL);
  });

  it('longer than what is held arrives in chunks', async () => {
    const filler = 'x'.repeat(100_000);
    expect((await sized(filler + mine + filler)).status).toBe(200);
    expect(last()?.body.toString()).toBe(filler + REAL + filler);
    expect(last()?.headers['transfer-encoding']).toBe('chunked');
  });

  it('in chunks that cut the placeholder arrives whole', async () => {
    const parts = [mine.slice(0, 5), mine.slice(5, 20), `${mine.slice(20)}!`].map(chunk);
    expect((await send('Transfer-Encoding: chunked\r\n', [...parts, '0\r\n\r\n'])).status).toBe(200);
    expect(last()?.body.toString()).toBe(`${REAL}!`);
  });

  it('behind an expectation is sent when the upstream wants it', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    client.write(
      `POST /x HTTP/1.1\r\nHost: ${at}\r\nExpect: 100-continue\r\nContent-Length: ${mine.length}\r\n\r\n`,
    );
    expect((await client.head()).status).toBe(100);
    client.write(mine);
    expect((await client.reply()).status).toBe(200);
    expect(last()?.body.toString()).toBe(REAL);
    client.destroy();
  });

  it.each([
    ['gzip', zlib.gzipSync],
    ['deflate', zlib.deflateSync],
    ['deflate', zlib.deflateRawSync],
    ['br', zlib.brotliCompressSync],
    ['zstd', zlib.zstdCompressSync],
  ] as const)('in %s is decoded where a key is put in, short or long', async (coding, compress) => {
    const field = `Content-Encoding: ${coding}\r\n`;
    expect((await sized(compress(mine), field)).status).toBe(200);
    expect(last()?.body.toString()).toBe(REAL);
    expect(last()?.headers).not.toHaveProperty('content-encoding');
    const filler = Array.from({ length: 30_000 }, (_, n) => `${n * 7919}`).join(' ');
    const long = compress(Buffer.from(filler + mine + filler));
    expect(long.length).toBeGreaterThan(70_000);
    expect((await sized(long, field)).status).toBe(200);
    expect(last()?.body.toString()).toBe(filler + REAL + filler);
    expect(last()?.headers).not.toHaveProperty('content-encoding');
    const chunks = [chunk(long), '0\r\n\r\n'];
    expect((await send(`${field}Transfer-Encoding: chunked\r\n`, chunks)).status).toBe(200);
    expect(last()?.body.toString()).toBe(filler + REAL + filler);
  });

  it('compressed without a placeholder arrives as it came', async () => {
    const body = zlib.gzipSync('nothing to see');
    expect((await sized(body, 'Content-Encoding: gzip\r\n')).status).toBe(200);
    expect(last()?.body.equals(body)).toBe(true);
    expect(last()?.headers['content-encoding']).toBe('gzip');
    expect(last()?.headers['content-length']).toBe(String(body.length));
  });

  it.each([
    ['a real key', (): string => HEADER_REAL, 'secret_leak'],
    ['a placeholder that belongs into headers', (): string => inHeaders, 'placeholder_wrong_place'],
    [
      'a made-up placeholder',
      (): string => 'ghp_SLYPRTQX0123456789abcdefghijklmnopqr',
      'placeholder_unknown',
    ],
  ] as const)('with %s is refused, and the upstream sees no whole request', async (_, text, reason) => {
    const before = upstream.seen.length;
    const filler = 'x'.repeat(100_000);
    expect((await sized(`a ${text()} b`)).json()).toMatchObject({ status: 403, reason });
    expect((await sized(filler + text())).json()).toMatchObject({ status: 403, reason });
    const chunks = [chunk(text().slice(0, 9)), chunk(text().slice(9)), '0\r\n\r\n'];
    expect((await send('Transfer-Encoding: chunked\r\n', chunks)).json()).toMatchObject({
      status: 403,
      reason,
    });
    expect((await sized(zlib.gzipSync(text()), 'Content-Encoding: gzip\r\n')).json()).toMatchObject({
      reason,
    });
    expect(upstream.seen.length).toBe(before);
  });

  it.each([
    ['an encoding that is not known', 'Content-Encoding: compress\r\n', 'x', 'bad_request'],
    ['two encodings', 'Content-Encoding: gzip, br\r\n', 'x', 'bad_request'],
    ['an encoding that it is not in', 'Content-Encoding: gzip\r\n', 'nope', 'bad_request'],
    [
      'an end that is cut off',
      'Content-Encoding: zstd\r\n',
      zlib.zstdCompressSync('abc').subarray(0, 8),
      'bad_request',
    ],
    [
      'an encoding that ends before it does',
      'Content-Encoding: deflate\r\n',
      Buffer.concat([zlib.deflateSync('abc'), Buffer.from(REAL)]),
      'bad_request',
    ],
    [
      'too little for so much',
      'Content-Encoding: gzip\r\n',
      zlib.gzipSync(Buffer.alloc(9_000_000)),
      'body_too_large',
    ],
  ])('in %s is refused', async (_, fields, body, reason) => {
    const before = upstream.seen.length;
    expect((await sized(body, fields)).json()).toMatchObject({ reason });
    const chunks = [chunk(body), '0\r\n\r\n'];
    expect((await send(`${fields}Transfer-Encoding: chunked\r\n`, chunks)).json()).toMatchObject({ reason });
    expect(upstream.seen.length).toBe(before);
  });

  it('to a host whose keys stay in headers is passed on as it is', async () => {
    const body = zlib.gzipSync(`${mine} ${inHeaders} ${REAL}`);
    const fields = `Content-Encoding: gzip\r\nContent-Length: ${body.length}\r\n`;
    expect((await send(fields, [body], bare)).status).toBe(200);
    expect(plain.seen.at(-1)?.body.equals(body)).toBe(true);
  });
});
