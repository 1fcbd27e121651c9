/** Slow and idle connections: each has a limit, and each limit its own ending. The clock is moved on, not waited for. */
import type net from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { intercepted, policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { connect, connectTls, open, type Reply, type Talk } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

describe('time limits', () => {
  const sockets: net.Socket[] = [];
  let web: Awaited<ReturnType<typeof rawUpstream>>;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let clock: ReturnType<typeof movableClock>;
  let world: World;

  beforeAll(async () => {
    web = await rawUpstream((socket) => void sockets.push(socket.resume()), { name: 'web.test' });
    raw = await rawUpstream((socket) => void sockets.push(socket.resume()));
  });
  beforeEach(async () => {
    clock = movableClock();
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          intercepted(`web.test:${web.port}`, 'idle: 5s'),
          tunnelled(`raw.test:${raw.port}`, 'idle: 5s, protocol: any'),
          tunnelled(`tls.test:${raw.port}`, 'protocol: tls'),
        ]),
      },
      hosts: { 'web.test': ['127.0.0.1'], 'raw.test': ['127.0.0.1'], 'tls.test': ['127.0.0.1'] },
      clock,
    });
  });
  afterEach(() => world.stop());
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    await web.close();
    await raw.close();
  });

  /** Half a second passes in every hundredth. */
  const answeredWhileTimePasses = async (client: Talk, each = (): void => {}): Promise<Reply> => {
    const timer = setInterval(() => {
      clock.advance(500);
      each();
    }, 10);
    const reply = await client.reply().finally(() => clearInterval(timer));
    return reply;
  };

  it('a head that does not end is 408 client_timeout', async () => {
    const client = await open(world.port);
    client.write('GET http://web.test/ HTTP/1.1\r\nHost: web');
    const reply = await answeredWhileTimePasses(client);
    expect(reply.json()).toMatchObject({ status: 408, reason: 'client_timeout' });
    await client.over();
    expect(await theRecord(world, { kind: 'end' })).toMatchObject({ reason: 'client_timeout', status: 408 });
    expect(await theRecord(world, { kind: 'decision' })).toMatchObject({
      reason: 'client_timeout',
      verdict: 'deny',
    });
  });

  it('a head that trickles does not live longer than one that stands still', async () => {
    const client = await open(world.port);
    client.write('GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\nX-A: ');
    const reply = await answeredWhileTimePasses(client, () => client.write('a'));
    expect(reply.status).toBe(408);
  });

  it('a connection that says nothing at all is closed without a record', async () => {
    const client = await open(world.port);
    await eventually(() => world.proxy.parts.live.connections === 1);
    clock.advance(61_000);
    await client.over();
    expect(await world.audit()).toEqual([]);
  });

  it('a kept connection on which nothing is asked is closed', async () => {
    const client = await open(world.port);
    await client.ask('GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n');
    clock.advance(121_000);
    await client.over();
  });

  it('a tunnel on which nothing moves ends as timeout after its rule’s idle limit', async () => {
    const client = await connect(world.port, `raw.test:${raw.port}`);
    client.write('x');
    await eventually(() => world.proxy.parts.live.connectionsOpen()[0]?.bytesUp === 1);
    clock.advance(6_000);
    await client.over();
    expect(await theRecord(world, { kind: 'end' })).toMatchObject({
      ended: 'timeout',
      status: 200,
      bytes_up: 1,
    });
  });

  it('a tunnel on which bytes move one way only is not idle', async () => {
    const client = await connect(world.port, `raw.test:${raw.port}`);
    for (let n = 1; n <= 4; n += 1) {
      client.write('x');
      await eventually(() => world.proxy.parts.live.connectionsOpen()[0]?.bytesUp === n);
      clock.advance(3_000);
      world.proxy.parts.live.tick(clock.mono());
    }
    expect(world.proxy.parts.live.connectionsOpen()).toHaveLength(1);
    client.destroy();
  });

  it('a TLS tunnel whose client sends no whole ClientHello ends', async () => {
    const client = await connect(world.port, `tls.test:${raw.port}`);
    client.write(Buffer.from([0x16, 3, 1]));
    clock.advance(11_000);
    await client.over();
    expect(await theRecord(world, { kind: 'end' })).toMatchObject({ reason: 'client_timeout', bytes_up: 0 });
  });

  it('an upstream that never answers is 504 upstream_timeout after the rule’s idle limit', async () => {
    const at = `web.test:${web.port}`;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const before = sockets.length;
    client.write(`GET /wait HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    await eventually(() => sockets.length > before);
    await eventually(async () => (await world.audit()).some((one) => one['path'] === '/wait'));
    clock.advance(6_000);
    const reply = await client.reply();
    expect(reply.json()).toMatchObject({ status: 504, reason: 'upstream_timeout' });
    await eventually(() => sockets.at(-1)?.destroyed === true);
    client.destroy();
  });

  it('a client that stops in the middle of its body is 408 client_timeout', async () => {
    const at = `web.test:${web.port}`;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const before = sockets.length;
    client.write(`POST /body HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 10\r\n\r\nhalf`);
    await eventually(() => sockets.length > before);
    await eventually(async () => (await world.audit()).some((one) => one['path'] === '/body'));
    clock.advance(6_000);
    expect((await client.reply()).json()).toMatchObject({ status: 408, reason: 'client_timeout' });
    await eventually(() => sockets.at(-1)?.destroyed === true);
  });

  it('a handshake that does not come is given up', async () => {
    const client = await connect(world.port, `web.test:${web.port}`);
    clock.advance(11_000);
    await client.over();
    expect(await theRecord(world, { kind: 'end' })).toMatchObject({
      ended: 'timeout',
      reason: 'client_timeout',
    });
  });
});
