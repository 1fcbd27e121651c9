/**
 * HTTP/2 peers that mean harm: what they repeat must not throw inside the library's callbacks (an exception there is
 * nobody's and ends the process), and a client that takes nothing must not keep its connection for ever.
 */
import { once } from 'node:events';
import type tls from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { H2Wire } from '../../src/base/h2-wire.ts';
import { connectH2, type H2Upstream, h2Upstream, replyTo, tlsWith } from '../helpers/h2.ts';
import { intercepted, policy, records, theRecord } from '../helpers/scene.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

const MINUTE = 60_000;
const TWO_TAGS = 'ETag: "a"\r\nETag: "b"\r\n';

/** One frame of HTTP/2. */
function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Field lines as HPACK literals without a table entry. */
function section(...fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)]);

describe('HTTP/2 peers that mean harm', () => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let h2: H2Upstream;
  let clock: ReturnType<typeof movableClock>;
  let world: World;
  let atRaw = '';
  let atH2 = '';
  let trailersSeen: readonly string[] = [];
  /** streams whose bodies are not read */
  let held = 0;
  const answers: Record<string, string> = {
    '/trailers': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${TWO_TAGS}\r\n`,
    '/head': `HTTP/1.1 200 OK\r\n${TWO_TAGS}Content-Length: 2\r\n\r\nok`,
    '/interim': `HTTP/1.1 103 Early Hints\r\n${TWO_TAGS}\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`,
    '/large': `HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n${'x'.repeat(3_000_000)}`,
  };

  beforeAll(async () => {
    raw = await rawUpstream(
      (socket) => {
        socket.on('data', (bytes: Buffer) => {
          const path = bytes.toString('latin1').split(' ')[1] ?? '';
          socket.write(answers[path] ?? '');
        });
      },
      { name: 'raw.test' },
    );
    h2 = await h2Upstream('h2.test', (stream, headers) => {
      if (headers[':path'] === '/hold') {
        held += 1;
        return;
      }
      if (headers[':path'] === '/continue') stream.additionalHeaders({ ':status': 100 });
      stream.on('trailers', (_all, _flags, list: string[]) => {
        trailersSeen = list;
      });
      stream.on('data', () => {});
      stream.on('end', () => {
        if (stream.destroyed) return;
        stream.respond({ ':status': 200 });
        stream.end('ok');
      });
    });
    atRaw = `raw.test:${raw.port}`;
    atH2 = `h2.test:${h2.port}`;
  });
  beforeEach(async () => {
    clock = movableClock();
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(atRaw), intercepted(atH2)]) },
      hosts: { 'raw.test': ['127.0.0.1'], 'h2.test': ['127.0.0.1'] },
      clock,
    });
  });
  afterEach(() => world.stop());
  afterAll(async () => {
    await raw.close();
    await h2.close();
  });

  const rawClient = async (at: string, ...frames: Buffer[]): Promise<tls.TLSSocket> => {
    const socket = await tlsWith(world.port, at, { ca: world.caPem, alpn: ['h2'] });
    socket.write(Buffer.concat([PREFACE, ...frames]));
    return socket;
  };
  const headers = (at: string, stream: number, flags: number, method: string, path: string): Buffer =>
    frame(
      1,
      flags,
      stream,
      section([':method', method], [':scheme', 'https'], [':authority', at], [':path', path]),
    );
  /** Moves the clock on, a little at a time, until no connection is open. */
  const untilGone = async (limitMs: number): Promise<void> => {
    for (let ms = 0; ms < limitMs && world.proxy.parts.live.connections > 0; ms += 5_000) {
      clock.advance(5_000);
      world.proxy.parts.live.tick(clock.mono());
      await new Promise(setImmediate);
    }
    await eventually(() => world.proxy.parts.live.connections === 0);
  };

  it.each(['/trailers', '/head', '/interim'])('what an upstream repeats in its %s passes', async (path) => {
    const client = await connectH2(world.port, atRaw, { ca: world.caPem });
    const reply = await client.ask(`GET ${path}`);
    expect([reply.status, reply.body.toString(), reply.code]).toEqual([200, 'ok', 0]);
    client.close();
  });

  it('what a client repeats in its trailers passes', async () => {
    const socket = await rawClient(
      atH2,
      headers(atH2, 1, 4, 'POST', '/up'),
      frame(0, 0, 1, Buffer.from('abc')),
      frame(1, 5, 1, section(['etag', 'a'], ['etag', 'b'])),
    );
    socket.resume();
    expect(await theRecord(world, { kind: 'end', path: '/up' })).toMatchObject({
      status: 200,
      ended: 'done',
    });
    expect(trailersSeen).toEqual(['etag', 'a', 'etag', 'b']);
    socket.destroy();
  });

  it('an interim response is passed on once', async () => {
    const client = await connectH2(world.port, atH2, { ca: world.caPem });
    const stream = client.request('GET /continue');
    let told = 0;
    stream.on('headers', () => {
      told += 1;
    });
    expect((await replyTo(stream)).status).toBe(200);
    expect(told).toBe(1);
    client.close();
  });

  it('a refused upload whose answer finds no window does not stay for ever', async () => {
    const noWindow = frame(4, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));
    const socket = await rawClient(atRaw, noWindow, headers(atRaw, 1, 4, 'PATCH', '/up'));
    socket.resume();
    await theRecord(world, { kind: 'end', path: '/up' });
    await untilGone(10 * MINUTE);
    socket.destroy();
  });

  it('many small pieces of bodies that nobody reads end the connection, and are recorded once', async () => {
    const socket = await rawClient(
      atH2,
      ...Array.from({ length: 50 }, (_, n) => headers(atH2, 2 * n + 1, 4, 'POST', '/hold')),
      ...Array.from({ length: 8 * 50 }, (_, n) => frame(0, 0, 2 * (n % 50) + 1, Buffer.alloc(16_384))),
    );
    socket.resume();
    await eventually(() => held === 50);
    const byte = Buffer.from('a');
    const round = Buffer.concat(Array.from({ length: 50 }, (_, n) => frame(0, 0, 2 * n + 1, byte)));
    const closed = once(socket, 'close');
    for (let n = 0; n < 4_000 && !socket.destroyed; n += 1) {
      if (!socket.write(round)) await Promise.race([once(socket, 'drain'), closed]);
    }
    const reason = { kind: 'end', reason: 'bad_request' };
    expect(await theRecord(world, reason)).toMatchObject({ ended: 'refused', status: 0 });
    expect(await records(world, { kind: 'end', path: '/hold' })).toHaveLength(50);
    socket.destroy();
  });

  it('a client that takes nothing of large answers loses its connection', async () => {
    const socket = await rawClient(
      atRaw,
      frame(4, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])),
      frame(8, 0, 0, Buffer.from([0x7f, 0, 0, 0])),
      ...Array.from({ length: 90 }, (_, n) => headers(atRaw, 2 * n + 1, 5, 'GET', '/large')),
    );
    socket.pause();
    await eventually(async () => (await records(world, { kind: 'decision', path: '/large' })).length === 90);
    await untilGone(30 * MINUTE);
    expect(await records(world, { kind: 'end', path: '/large' })).toHaveLength(90);
    socket.destroy();
  });

  it('requests that a client begins behind our GOAWAY are not kept', async () => {
    const socket = await rawClient(atH2, headers(atH2, 1, 4, 'POST', '/hold'));
    let told = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => {
      told = Buffer.concat([told, bytes]);
    });
    await eventually(async () => (await records(world, { kind: 'decision', path: '/hold' })).length === 1);
    const stopped = world.proxy.stop();
    const goaway = Buffer.from([7, 0, 0, 0, 0, 0]);
    await eventually(() => told.includes(goaway));
    const watch = vi.spyOn(H2Wire.prototype, 'watch');
    try {
      const ping = Buffer.from('are you?');
      for (let n = 1; n <= 50; n += 1) socket.write(headers(atH2, 2 * n + 1, 4, 'POST', '/late'));
      socket.write(frame(6, 0, 0, ping));
      await eventually(() => told.includes(ping));
      expect(watch).not.toHaveBeenCalled();
    } finally {
      watch.mockRestore();
    }
    socket.destroy();
    await stopped;
  });
});
