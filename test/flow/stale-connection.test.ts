/** An upstream may close a kept connection just as we use it: what is harmless to repeat is, nothing else. */
import type net from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { intercepted, policy, records } from '../helpers/scene.ts';
import { connectTls, type Talk } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('a kept upstream connection that dies with the next request on it', () => {
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';
  let heads: string[] = [];
  /** what an upstream connection does with its second request */
  let second: (socket: net.Socket) => void = () => {};

  beforeAll(async () => {
    upstream = await rawUpstream(
      (socket) => {
        let count = 0;
        socket.on('data', (bytes: Buffer) => {
          heads.push(bytes.toString('latin1').split('\r\n')[0] ?? '');
          count += 1;
          if (count === 1) socket.write(ANSWER);
          else second(socket);
        });
      },
      { name: 'api.test' },
    );
    at = `api.test:${upstream.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at)]) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
  });
  beforeEach(() => {
    heads = [];
    world.proxy.parts.pool.retire('none');
    world.proxy.parts.pool.retire(world.proxy.parts.snapshots.current()?.id ?? '');
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
  });

  const warm = async (): Promise<Talk> => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    expect((await client.ask(`GET /warm HTTP/1.1\r\nHost: ${at}\r\n\r\n`)).status).toBe(200);
    return client;
  };

  it('a GET is sent once more, on a new connection', async () => {
    second = (socket) => socket.destroy();
    const client = await warm();
    const reply = await client.ask(`GET /again HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    expect([reply.status, reply.body.toString()]).toEqual([200, 'ok']);
    expect(heads).toEqual(['GET /warm HTTP/1.1', 'GET /again HTTP/1.1', 'GET /again HTTP/1.1']);
    expect(await records(world, { kind: 'decision', path: '/again' })).toHaveLength(1);
    client.destroy();
  });

  it.each([
    ['a POST', 'POST', 'Content-Length: 2\r\n\r\nhi'],
    ['a POST without a body', 'POST', 'Content-Length: 0\r\n\r\n'],
    ['a PUT with a body', 'PUT', 'Content-Length: 2\r\n\r\nhi'],
  ])('%s is a 502 and is not sent again', async (_what, method, tail) => {
    second = (socket) => socket.destroy();
    const client = await warm();
    const reply = await client.ask(`${method} /once HTTP/1.1\r\nHost: ${at}\r\n${tail}`);
    expect(reply.json()).toMatchObject({ status: 502, reason: 'upstream_bad_response' });
    expect(heads.filter((head) => head.includes('/once'))).toHaveLength(1);
    client.destroy();
  });

  it('a GET to which an answer had begun is not sent again, and must not look complete', async () => {
    second = (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
    const client = await warm();
    client.write(`GET /half HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    const all = (await client.rest()).toString();
    expect(all.endsWith('\r\n\r\nhalf') || all === '').toBe(true);
    expect(heads.filter((head) => head.includes('/half'))).toHaveLength(1);
  });

  it('a GET on a connection that was never used before is not sent twice', async () => {
    const fresh = await rawUpstream((socket) => socket.once('data', () => socket.destroy()), {
      name: 'api.test',
    });
    world.setPolicy('agents.yaml', policy([intercepted(at), intercepted(`api.test:${fresh.port}`)]));
    const other = `api.test:${fresh.port}`;
    const client = await connectTls(world.port, other, { ca: world.caPem });
    const reply = await client.ask(`GET / HTTP/1.1\r\nHost: ${other}\r\n\r\n`);
    expect(reply.status).toBe(502);
    client.destroy();
    await fresh.close();
  });
});
