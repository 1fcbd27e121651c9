/** HTTP/2 towards the upstream, from clients of either protocol: pooled, streamed both ways, cut and retried. */
import { once } from 'node:events';
import type http2 from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectH2, type H2Client, type H2Upstream, h2Upstream, replyTo } from '../helpers/h2.ts';
import { intercepted, policy, theRecord } from '../helpers/scene.ts';
import { connectTls } from '../helpers/talk.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('HTTP/2 towards the upstream', () => {
  let only: H2Upstream;
  let both: H2Upstream;
  let world: World;
  let client: H2Client;
  const seen: {
    headers: http2.IncomingHttpHeaders;
    raw: readonly string[];
    stream: http2.ServerHttp2Stream;
  }[] = [];

  const serve = (
    stream: http2.ServerHttp2Stream,
    headers: http2.IncomingHttpHeaders,
    raw: readonly string[],
  ): void => {
    seen.push({ headers, raw, stream });
    const path = String(headers[':path']);
    if (path === '/hold') return stream.respond({ ':status': 200 });
    if (path === '/refused' && seen.filter((one) => one.headers[':path'] === path).length === 1) {
      return stream.close(7);
    }
    if (path === '/reset') {
      stream.respond({ ':status': 200, 'content-length': 10 });
      stream.write('half', () => stream.close(2));
      return;
    }
    if (path === '/endless-hints') {
      for (let n = 0; n < 12; n += 1) stream.additionalHeaders({ ':status': 103 });
    }
    if (path === '/bare') return stream.respond({ ':status': 200, 'x-bare': '1' }, { endStream: true });
    let size = 0;
    let trailer = '';
    stream.on('trailers', (all: http2.IncomingHttpHeaders) => {
      trailer = String(all['x-up']);
    });
    stream.on('data', (bytes: Buffer) => {
      size += bytes.length;
    });
    stream.on('end', () => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200, 'set-cookie': ['a=1', 'b=2'] }, { waitForTrailers: true });
      stream.once('wantTrailers', () => {
        if (stream.sentTrailers === undefined) stream.sendTrailers({ 'x-down': 'bye' });
      });
      stream.end(`${String(headers[':method'])} ${path} ${size} ${trailer}`);
    });
  };

  beforeAll(async () => {
    only = await h2Upstream('only.test', serve);
    both = await h2Upstream('both.test', serve, { http1: true });
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(`only.test:${only.port}`), intercepted(`both.test:${both.port}`)]),
      },
      hosts: { 'only.test': ['127.0.0.1'], 'both.test': ['127.0.0.1'] },
    });
    client = await connectH2(world.port, `only.test:${only.port}`, { ca: world.caPem });
  });
  afterAll(async () => {
    client.close();
    await world.stop();
    await only.close();
    await both.close();
  });

  it('an HTTP/2 client gets it where the upstream speaks both, an HTTP/1.1 client does not', async () => {
    const at = `both.test:${both.port}`;
    const h2 = await connectH2(world.port, at, { ca: world.caPem });
    expect((await h2.ask('GET /a')).body.toString()).toBe('GET /a 0 ');
    const h1 = await connectTls(world.port, at, { ca: world.caPem });
    const reply = await h1.ask(`GET /b HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    expect(reply.body.toString()).toBe('http/1.1 /b');
    expect(both.spoken).toEqual(['h2', 'http/1.1']);
    h2.close();
    h1.destroy();
  });

  it('an HTTP/1.1 client gets through to an upstream that speaks nothing else', async () => {
    const at = `only.test:${only.port}`;
    const h1 = await connectTls(world.port, at, { ca: world.caPem });
    for (const path of ['/one', '/two']) {
      const reply = await h1.ask(
        `POST ${path} HTTP/1.1\r\nHost: ${at}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Up: t\r\n\r\n`,
      );
      expect([reply.status, reply.body.toString()]).toEqual([200, `POST ${path} 3 t`]);
      expect(reply.fields('set-cookie')).toEqual(['a=1', 'b=2']);
    }
    expect(only.sessions.length).toBe(1);
    h1.destroy();
  });

  it('streams of one client share one connection, and trailers pass both ways', async () => {
    const before = only.sessions.length;
    const replies = await Promise.all(
      ['/1', '/2', '/3', '/4', '/5'].map((path) =>
        client.ask(`POST ${path}`, { te: 'trailers' }, 'xy', { 'x-up': 'hi' }),
      ),
    );
    expect(replies.map(({ body }) => body.toString())).toEqual(
      ['/1', '/2', '/3', '/4', '/5'].map((path) => `POST ${path} 2 hi`),
    );
    expect(replies.map(({ trailers }) => trailers['x-down'])).toEqual(Array(5).fill('bye'));
    expect(only.sessions.length).toBe(before + 1);
    const { raw } = seen.at(-1) ?? { raw: [] };
    expect(raw.slice(0, 8)).toEqual([
      ':method',
      'POST',
      ':scheme',
      'https',
      ':authority',
      `only.test:${only.port}`,
      ':path',
      '/5',
    ]);
    expect(raw).toContain('te');
  });

  it('a response without a body ends with its head', async () => {
    const stream = client.request('GET /bare', {}, { endStream: true });
    const told: unknown[] = await once(stream, 'response');
    expect(Number(told[1]) & 1).toBe(1);
    stream.close();
  });

  it('bytes pass both ways at once', async () => {
    const stream = client.request('POST /hold');
    const reply = replyTo(stream);
    await once(stream, 'response');
    const up = await eventually(() => seen.find((one) => one.headers[':path'] === '/hold')?.stream);
    up.on('data', (bytes: Buffer) => up.write(`echo ${bytes.toString()}`));
    up.on('end', () => up.end());
    for (const word of ['one', 'two', 'three']) {
      stream.write(word);
      const told: unknown[] = await once(stream, 'data');
      expect(String(told[0])).toBe(`echo ${word}`);
    }
    stream.end();
    expect((await reply).code).toBe(0);
    expect(await theRecord(world, { kind: 'end', path: '/hold' })).toMatchObject({
      ended: 'done',
      bytes_up: 11,
      bytes_down: 26,
    });
  });

  it('a large body passes whole, and is held back where the client does not read', async () => {
    const big = Buffer.alloc(8 << 20, 'b');
    const reply = await client.ask('POST /big', {}, big);
    expect(reply.body.toString()).toBe(`POST /big ${big.length} `);
  });

  it('a stream that the upstream refused unprocessed is asked for once more', async () => {
    const reply = await client.ask('GET /refused');
    expect(reply.status).toBe(200);
    expect(seen.filter((one) => one.headers[':path'] === '/refused')).toHaveLength(2);
  });

  it('a stream that the upstream resets half-way is reset towards the client', async () => {
    const reply = await client.ask('GET /reset');
    expect([reply.status, reply.code]).toEqual([200, 2]);
    expect(await theRecord(world, { kind: 'end', path: '/reset' })).toMatchObject({
      ended: 'upstream_abort',
    });
  });

  it('interim responses without end are a bad response', async () => {
    const reply = await client.ask('GET /endless-hints');
    expect([reply.status, reply.json()['reason']]).toEqual([502, 'upstream_bad_response']);
  });

  it('a client that leaves resets the stream upstream', async () => {
    const stream = client.request('POST /hold');
    await once(stream, 'response');
    const up = seen.findLast((one) => one.headers[':path'] === '/hold')?.stream;
    stream.close(8);
    await eventually(() => up?.rstCode === 8);
  });

  it('GOAWAY lets what is open end, and the next request has a new connection', async () => {
    const stream = client.request('POST /hold');
    await once(stream, 'response');
    const up = seen.findLast((one) => one.headers[':path'] === '/hold')?.stream;
    const before = only.sessions.length;
    up?.session?.close();
    await eventually(() => up?.session?.closed);
    const next = await client.ask('GET /after');
    expect(next.status).toBe(200);
    expect(only.sessions.length).toBe(before + 1);
    stream.end('x');
    up?.end('bye');
    const told: unknown[] = await once(stream, 'data');
    expect(String(told[0])).toBe('bye');
    await once(stream, 'close');
  });
});
