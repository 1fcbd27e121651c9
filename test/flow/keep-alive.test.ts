/** Connections are used again, on the client's side and on the upstream's, and only as long as they may be. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { intercepted, policy } from '../helpers/scene.ts';
import { connectTls, open, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('keep-alive', () => {
  let upstream: Upstream;
  let plain: Upstream;
  let world: World;
  let at = '';
  const clients: Talk[] = [];

  beforeAll(async () => {
    upstream = await httpUpstream({
      name: 'api.test',
      answer: (request, response) => {
        if (request.url === '/close') response.setHeader('connection', 'close');
        response.end(`${request.method} ${request.remotePort}`);
      },
    });
    plain = await httpUpstream();
  });
  beforeEach(async () => {
    at = `api.test:${upstream.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at), intercepted(`plain.test:${plain.port}`)]) },
      hosts: { 'api.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'] },
    });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await world.stop();
  });
  afterAll(async () => {
    await upstream.close();
    await plain.close();
  });

  const client = async (): Promise<Talk> => {
    const made = await connectTls(world.port, at, { ca: world.caPem });
    clients.push(made);
    return made;
  };
  const get = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: ${at}\r\n\r\n`;

  it('many requests of one client ride on one connection each way', async () => {
    const before = upstream.connections();
    const one = await client();
    const replies = [];
    for (let n = 0; n < 5; n += 1) replies.push(await one.ask(get()));
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(new Set(replies.map(({ body }) => body.toString())).size).toBe(1);
    expect(upstream.connections() - before).toBe(1);
  });

  it('the next client connection of the same identity takes over the idle upstream connection', async () => {
    const before = upstream.connections();
    const first = await client();
    await first.ask(get());
    first.destroy();
    const second = await client();
    await second.ask(get());
    expect(upstream.connections() - before).toBe(1);
  });

  it('a request under way does not share its upstream connection', async () => {
    const [first, second] = [await client(), await client()];
    const before = upstream.connections();
    first.write(`POST /slow HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 4\r\n\r\nab`);
    await second.ask(get());
    first.write('cd');
    expect((await first.reply()).status).toBe(200);
    expect(upstream.connections() - before).toBe(2);
  });

  it('an upstream that says close gets a new connection for the next request; the client’s stays', async () => {
    const before = upstream.connections();
    const one = await client();
    const closed = await one.ask(get('/close'));
    expect(closed.field('connection')).toBeUndefined();
    expect((await one.ask(get())).status).toBe(200);
    expect(upstream.connections() - before).toBe(2);
  });

  it('a client that says close is closed after its answer; the upstream’s connection stays', async () => {
    const one = await client();
    const before = upstream.connections();
    const reply = await one.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\nConnection: close\r\n\r\n`);
    expect(reply.field('connection')).toBe('close');
    await one.over();
    await (await client()).ask(get());
    expect(upstream.connections() - before).toBe(1);
  });

  it('plain HTTP keeps both connections too, and may change hosts between requests', async () => {
    const one = await open(world.port);
    clients.push(one);
    const absolute = `http://plain.test:${plain.port}/`;
    const host = `Host: plain.test:${plain.port}\r\n`;
    const first = await one.ask(`GET ${absolute} HTTP/1.1\r\n${host}\r\n`);
    const refused = await one.ask('GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n');
    const last = await one.ask(`GET ${absolute} HTTP/1.1\r\n${host}\r\n`);
    expect([first.status, refused.status, last.status]).toEqual([200, 403, 200]);
    expect(plain.connections()).toBe(1);
  });
});
