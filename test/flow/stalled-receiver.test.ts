/**
 * What lives and what does not: no limit on how long a flow lasts, one on how long nothing moves, and one on how
 * long a receiver takes nothing while the other direction is busy. The clock is moved on, not waited for.
 */
import { once } from 'node:events';
import type net from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { intercepted, policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { connect, connectTls, type Talk } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

const MINUTE = 60_000;
const PIECE = Buffer.alloc(64 * 1024, 'x');

/** Writes until nobody takes any more; says whether that is so now. */
function flood(
  socket: net.Socket,
  frame = (piece: Buffer): Buffer => piece,
): { readonly stuck: () => boolean } {
  let blockedSince = 0;
  void (async () => {
    while (!socket.destroyed) {
      if (socket.write(frame(PIECE))) continue;
      blockedSince = Date.now();
      await once(socket, 'drain').catch(() => {});
      blockedSince = 0;
    }
  })();
  return { stuck: () => blockedSince > 0 && Date.now() - blockedSince > 300 };
}

const chunk = (piece: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);

describe('idle limits', () => {
  let accepted: net.Socket[] = [];
  let web: Awaited<ReturnType<typeof rawUpstream>>;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let clock: ReturnType<typeof movableClock>;
  let world: World;

  beforeAll(async () => {
    const script = (socket: net.Socket): void => void accepted.push(socket);
    web = await rawUpstream(script, { name: 'web.test' });
    raw = await rawUpstream(script);
  });
  beforeEach(async () => {
    accepted = [];
    clock = movableClock();
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          intercepted(`web.test:${web.port}`),
          tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
        ]),
      },
      hosts: { 'web.test': ['127.0.0.1'], 'raw.test': ['127.0.0.1'] },
      clock,
    });
  });
  afterEach(async () => {
    for (const socket of accepted) socket.destroy();
    await world.stop();
  });
  afterAll(async () => {
    await web.close();
    await raw.close();
  });

  const tunnel = async (): Promise<{ client: Talk; server: net.Socket }> => {
    const client = await connect(world.port, `raw.test:${raw.port}`);
    client.write('x');
    return { client, server: await eventually(() => accepted[0]) };
  };

  const exchange = async (head: string): Promise<{ client: Talk; server: net.Socket }> => {
    const at = `web.test:${web.port}`;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    client.write(`${head} HTTP/1.1\r\nHost: ${at}\r\n`);
    client.write(head.startsWith('GET') ? '\r\n' : 'Transfer-Encoding: chunked\r\n\r\n');
    return { client, server: await eventually(() => accepted[0]) };
  };

  /** Time passes in steps, each with a byte the other way, until the proxy ends the flow. */
  const whileTimePasses = async (each: () => void): Promise<number> => {
    const { live } = world.proxy.parts;
    for (let minutes = 0; minutes < 30; minutes += 4) {
      each();
      await eventually(() => true);
      live.tick(clock.mono());
      await new Promise<void>((resolve) => setImmediate(resolve));
      if ((await world.audit()).some((one) => one['kind'] === 'end')) return minutes;
      clock.advance(4 * MINUTE);
    }
    throw new Error('it lives on');
  };

  it('a response that says nothing for minutes lives, and so does one that lasts for hours', async () => {
    const { client, server } = await exchange('GET /events');
    server.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n');
    await client.head();
    for (let round = 0; round < 20; round += 1) {
      clock.advance(9 * MINUTE);
      world.proxy.parts.live.tick(clock.mono());
      server.write(`data: ${round}\n\n`);
      const text = (await client.bytes(9)).toString();
      expect(text).toContain(`data: ${round}\n\n`);
    }
    client.destroy();
  });

  it('a tunnel that says nothing for minutes lives', async () => {
    const { client, server } = await tunnel();
    for (let round = 0; round < 20; round += 1) {
      clock.advance(9 * MINUTE);
      world.proxy.parts.live.tick(clock.mono());
      server.write('y');
      expect((await client.bytes(1)).toString()).toBe('y');
    }
    client.destroy();
  });

  it('a tunnel whose client takes nothing ends, though the client goes on talking', async () => {
    const { client, server } = await tunnel();
    client.socket.pause();
    await eventually(flood(server).stuck, 20_000);
    server.resume();
    expect(await whileTimePasses(() => client.write('x'))).toBe(12);
    expect(await theRecord(world, { kind: 'end' })).toMatchObject({
      ended: 'timeout',
      reason: 'client_timeout',
    });
    await eventually(() => server.destroyed);
  });

  it('a tunnel whose upstream takes nothing ends, though the upstream goes on talking', async () => {
    const { client, server } = await tunnel();
    await eventually(flood(client.socket).stuck, 20_000);
    expect(await whileTimePasses(() => void server.write('y'))).toBe(12);
    expect(await theRecord(world, { kind: 'end' })).toMatchObject({
      ended: 'timeout',
      reason: 'upstream_timeout',
    });
    await client.over();
  });

  it('an answer that the client does not take ends, though its upload goes on', async () => {
    const { client, server } = await exchange('POST /both');
    server.resume();
    server.write('HTTP/1.1 200 OK\r\n\r\n');
    await client.head();
    client.socket.pause();
    await eventually(flood(server).stuck, 20_000);
    expect(await whileTimePasses(() => client.write('1\r\nx\r\n'))).toBe(12);
    expect(await theRecord(world, { kind: 'end', path: '/both' })).toMatchObject({
      ended: 'timeout',
      reason: 'client_timeout',
      status: 200,
    });
    await eventually(() => server.destroyed);
  });

  it('an upload that the upstream does not take ends, though its answer goes on', async () => {
    const { client, server } = await exchange('POST /both');
    server.write('HTTP/1.1 200 OK\r\n\r\n');
    await client.head();
    await eventually(flood(client.socket, chunk).stuck, 20_000);
    expect(await whileTimePasses(() => void server.write('y'))).toBe(12);
    expect(await theRecord(world, { kind: 'end', path: '/both' })).toMatchObject({
      ended: 'timeout',
      reason: 'upstream_timeout',
      status: 200,
    });
    await client.over();
  });

  it('an upload that the upstream does not take is the upstream’s fault where no answer has come', async () => {
    const { client } = await exchange('POST /up');
    await eventually(flood(client.socket, chunk).stuck, 20_000);
    clock.advance(11 * MINUTE);
    world.proxy.parts.live.tick(clock.mono());
    const reply = await client.reply();
    expect(reply.json()).toMatchObject({ status: 504, reason: 'upstream_timeout' });
    expect(Number(reply.field('retry-after'))).toBeGreaterThan(0);
    expect(reply.field('x-should-retry')).toBeUndefined();
    expect(reply.field('connection')).toBe('close');
  });
});
