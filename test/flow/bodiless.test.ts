/** Answers without a body, and old clients: the framing that each side understands. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy } from '../helpers/scene.ts';
import { connectTls, open } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('framing', () => {
  let upstream: Upstream;
  let plain: Upstream;
  let world: World;
  let at = '';

  beforeAll(async () => {
    const answer: NonNullable<Parameters<typeof httpUpstream>[0]>['answer'] = (request, response) => {
      const status = Number(request.url.slice(1)) || 200;
      response.writeHead(status, request.url === '/304' ? { etag: '"x"' } : {});
      if (request.url === '/stream') response.write('one,');
      response.end(status === 200 ? 'two' : undefined);
    };
    upstream = await httpUpstream({ name: 'api.test', answer });
    plain = await httpUpstream({ answer });
    at = `api.test:${upstream.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at), intercepted(`plain.test:${plain.port}`)]) },
      hosts: { 'api.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
    await plain.close();
  });

  it('HEAD, 204 and 304 end with their head, and the connection goes on', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const host = `Host: ${at}\r\n\r\n`;
    const head = await client.ask(`HEAD / HTTP/1.1\r\n${host}`, { head: true });
    const empty = await client.ask(`GET /204 HTTP/1.1\r\n${host}`);
    const unchanged = await client.ask(`GET /304 HTTP/1.1\r\n${host}`);
    const last = await client.ask(`GET / HTTP/1.1\r\n${host}`);
    expect([head.status, empty.status, unchanged.status, last.status]).toEqual([200, 204, 304, 200]);
    expect(unchanged.field('etag')).toBe('"x"');
    expect(empty.field('content-length')).toBeUndefined();
    expect(last.body.toString()).toBe('two');
    client.destroy();
  });

  it('a refused HEAD has a length, but no body bytes', async () => {
    const client = await open(world.port);
    const refused = await client.ask('HEAD http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n', {
      head: true,
    });
    expect(refused.status).toBe(403);
    expect(Number(refused.field('content-length'))).toBeGreaterThan(0);
    const next = await client.ask('GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n');
    expect(next.json()).toMatchObject({ reason: 'host_not_allowed' });
    client.destroy();
  });

  it('an HTTP/1.0 client gets no chunks: the end of the connection ends the body', async () => {
    const client = await open(world.port);
    client.write(`GET http://plain.test:${plain.port}/stream HTTP/1.0\r\n\r\n`);
    const all = (await client.rest()).toString();
    expect(all).toMatch(/^HTTP\/1\.1 200 /);
    expect(all).not.toMatch(/transfer-encoding/i);
    expect(all).toMatch(/\r\nConnection: close\r\n/);
    expect(all.endsWith('\r\n\r\none,two')).toBe(true);
    expect(plain.seen.at(-1)?.headers.host).toBe(`plain.test:${plain.port}`);
  });

  it('an HTTP/1.0 CONNECT works', async () => {
    const client = await open(world.port);
    client.write(`CONNECT ${at} HTTP/1.0\r\n\r\n`);
    expect((await client.head()).status).toBe(200);
    client.destroy();
  });
});
