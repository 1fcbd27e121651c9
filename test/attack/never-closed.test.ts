/**
 * A peer that never closes: every connection that is over for the proxy is gone within a limit, whatever the client
 * does not send or read, and its record is closed. The clock is moved on, not waited for.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BlackHole, blackHole } from '../helpers/black-hole.ts';
import { intercepted, policy, records, tunnelled } from '../helpers/scene.ts';
import { connect, connectText, connectTls, open, type Talk } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

/** More than kernel buffers take in on loopback. */
const PENDING: Buffer = Buffer.alloc(24 * 1024 * 1024, 'y');
/** Past every idle limit of a kept connection. */
const IDLE_MS = 121_000;
/** By when a connection that is over must be gone, seconds of the moved clock. */
const MOST_SECONDS = 30;
/** From a dial to its giving up, in real time, and something on top. */
const CONNECT_LIMIT_MS = 30_000;

describe('a client that never closes', () => {
  let plain: Upstream;
  let web: Upstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let clock: ReturnType<typeof movableClock>;
  let world: World;
  let clients: Talk[] = [];

  beforeAll(async () => {
    plain = await httpUpstream();
    web = await httpUpstream({ name: 'web.test' });
    raw = await rawUpstream((socket) => {
      socket.resume();
      socket.end(PENDING);
    });
  });
  beforeEach(async () => {
    clients = [];
    clock = movableClock();
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          tunnelled(`raw.test:${raw.port}`, 'protocol: any, idle: 60s'),
          intercepted(`plain.test:${plain.port}`),
          intercepted(`web.test:${web.port}`),
        ]),
      },
      hosts: { 'raw.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'], 'web.test': ['127.0.0.1'] },
      clock,
    });
  });
  afterEach(async () => {
    for (const client of clients) client.destroy();
    await world.stop();
  });
  afterAll(async () => {
    await plain.close();
    await web.close();
    await raw.close();
  });

  /** Lets the clock run until no client connection is left; fails after so many of its seconds. */
  const gone = async (seconds = MOST_SECONDS): Promise<void> => {
    const { live } = world.proxy.parts;
    let passed = 0;
    const left = await eventually(() => {
      if (live.connections === 0) return 'none';
      if (passed > seconds) return `${live.connections} after ${seconds} s`;
      clock.advance(1_000);
      passed += 1;
      live.tick(clock.mono());
      return false;
    });
    expect(left).toBe('none');
    expect(live.connectionsOpen()).toEqual([]);
    const all = await world.audit();
    const ids = (kind: string) => all.filter((one) => one['kind'] === kind).map((one) => one['request_id']);
    expect(ids('end')).toHaveLength(ids('decision').length);
    expect(new Set(ids('end'))).toEqual(new Set(ids('decision')));
  };

  type Way = { client: Talk; get: (more: string) => string; ends: number };
  const ways: Record<string, () => Promise<Way>> = {
    'in the clear': async () => {
      const at = `plain.test:${plain.port}`;
      const client = await open(world.port);
      return {
        client,
        get: (more) => `GET http://${at}/ HTTP/1.1\r\nHost: ${at}\r\n${more}\r\n`,
        ends: 1,
      };
    },
    'inside TLS': async () => {
      const at = `web.test:${web.port}`;
      const client = await connectTls(world.port, at, { ca: world.caPem });
      return { client, get: (more) => `GET / HTTP/1.1\r\nHost: ${at}\r\n${more}\r\n`, ends: 2 };
    },
  };

  it.each(Object.entries(ways))('%s, after Connection: close, is let go', async (_name, begin) => {
    const { client, get, ends } = await begin();
    clients.push(client);
    const reply = await client.ask(get('Connection: close\r\n'));
    expect(reply.status).toBe(200);
    await gone();
    expect(await records(world, { kind: 'end', ended: 'done' })).toHaveLength(ends);
  });

  it.each(Object.entries(ways))('%s, after the idle limit, is let go', async (_name, begin) => {
    const { client, get, ends } = await begin();
    clients.push(client);
    expect((await client.ask(get(''))).status).toBe(200);
    clock.advance(IDLE_MS);
    await gone();
    expect(await records(world, { kind: 'end' })).toHaveLength(ends);
  });

  it('in a tunnel, while it does not read what its upstream said before the end, is let go', async () => {
    const client = await connect(world.port, `raw.test:${raw.port}`);
    clients.push(client);
    client.socket.removeAllListeners('data');
    client.socket.pause();
    client.write('go');
    const link = await eventually(() => [...world.proxy.parts.live.links()][0]);
    await eventually(() => link.socket.writableLength > 0);
    await gone(60 + MOST_SECONDS);
    expect(await records(world, { kind: 'end', host: 'raw.test' })).toHaveLength(1);
  });
});

describe('an upstream that never answers the SYN', () => {
  const clock = movableClock();
  let hole: BlackHole;
  let world: World;
  let at = '';

  beforeAll(async () => {
    hole = await blackHole();
    at = `deaf.test:${hole.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([tunnelled(at, 'idle: 1s')]) },
      hosts: { 'deaf.test': ['127.0.0.1'] },
      clock,
    });
  });
  afterAll(async () => {
    await hole.close();
    await world.stop();
  });

  it('under a rule with a shorter idle limit: the client still gets an answer', async () => {
    const client = await open(world.port);
    client.write(connectText(at));
    await eventually(
      async () => (await records(world, { kind: 'decision', method: 'CONNECT' })).length === 1,
    );
    clock.advance(2_000);
    world.proxy.parts.live.tick(clock.mono());
    const reply = await client.reply({ limitMs: CONNECT_LIMIT_MS });
    expect(reply.status).toBe(504);
    const ends = await records(world, { kind: 'end', method: 'CONNECT' });
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatchObject({ status: 504, reason: reply.json()['reason'] });
    client.destroy();
    await eventually(() => world.proxy.parts.live.connections === 0);
  });
});
