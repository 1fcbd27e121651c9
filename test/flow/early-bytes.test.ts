/** What clients send before their CONNECT is answered is held, for each group up to its own limit. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DnsStub, startDnsStub } from '../helpers/dns-stub.ts';
import { policy, records, tunnelled } from '../helpers/scene.ts';
import { connectText, open, type Talk } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const ROOM = 100_000;
const PIECE = Buffer.alloc(40_000, 'e');

describe('bytes sent ahead of the answer', () => {
  let dns: DnsStub;
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let clients: Talk[] = [];

  beforeAll(async () => {
    dns = await startDnsStub({ 'slow.test': { silent: true }, 'echo.test': { a: ['127.0.0.1'] } });
    upstream = await rawUpstream((socket) => void socket.pipe(socket));
  });
  beforeEach(async () => {
    const rules = ['slow.test', 'echo.test'].map((host) =>
      tunnelled(`${host}:${upstream.port}`, 'protocol: any'),
    );
    world = await makeWorld({
      policies: {
        'loud.yaml': policy(rules, { group: 'loud', sources: '127.0.0.1/32' }),
        'calm.yaml': policy(rules, { group: 'calm', sources: '127.0.0.2/32' }),
      },
      dns: [dns.address],
      caps: { earlyBytes: ROOM },
    });
  });
  afterEach(async () => {
    for (const client of clients) client.destroy();
    clients = [];
    await world.stop();
  });
  afterAll(async () => {
    await upstream.close();
    await dns.close();
  });

  /** A client that says `PIECE` behind its CONNECT. */
  async function eager(host: string, from = '127.0.0.1'): Promise<Talk> {
    const client = await open(world.port, { localAddress: from });
    clients.push(client);
    client.write(connectText(`${host}:${upstream.port}`));
    client.write(PIECE);
    return client;
  }
  const held = (): number => world.proxy.parts.early.total;

  it('counts for the whole group: who goes beyond it is refused, another group is not', async () => {
    const first = await eager('slow.test');
    const second = await eager('slow.test');
    await eventually(() => held() === 2 * PIECE.length);
    const third = await eager('slow.test');
    expect((await third.head()).status).toBe(503);
    expect(held()).toBeLessThanOrEqual(ROOM);
    const calm = await eager('echo.test', '127.0.0.2');
    expect((await calm.head()).status).toBe(200);
    expect((await calm.bytes(PIECE.length)).equals(PIECE)).toBe(true);
    first.reset();
    second.destroy();
    await eventually(() => held() === 0);
    const later = await eager('echo.test');
    expect((await later.head()).status).toBe(200);
    await eventually(() => held() === 0);
    expect(await records(world, { kind: 'end', reason: 'overloaded' })).toHaveLength(1);
  });

  it('is given back when the lookup fails', async () => {
    const client = await eager('slow.test');
    await eventually(() => held() === PIECE.length);
    expect((await client.head()).status).toBe(504);
    expect(held()).toBe(0);
  });
});
