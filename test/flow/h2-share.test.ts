/** HTTP/2 streams of all connections of a group share a cap: a hundred of each connection add up. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectH2, type H2Client } from '../helpers/h2.ts';
import { intercepted, policy, records, theRecord } from '../helpers/scene.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const STREAMS = 16;

describe('HTTP/2 streams', () => {
  let silent: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';
  const clients: H2Client[] = [];

  beforeAll(async () => {
    silent = await rawUpstream((socket) => void socket.on('data', () => {}), { name: 'api.test' });
    at = `api.test:${silent.port}`;
    world = await makeWorld({
      policies: {
        'loud.yaml': policy([intercepted(at)], { group: 'loud', sources: '127.0.0.1/32' }),
        'calm.yaml': policy([intercepted(at)], { group: 'calm', sources: '127.0.0.2/32' }),
      },
      hosts: { 'api.test': ['127.0.0.1'] },
      caps: { streams: STREAMS },
    });
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await world.stop();
    await silent.close();
  });

  const connected = async (from: string): Promise<H2Client> => {
    const client = await connectH2(world.port, at, { ca: world.caPem, localAddress: from });
    clients.push(client);
    return client;
  };
  const taken = (group: string): number => world.proxy.parts.streams.takenBy(group);

  it('beyond the share are refused in words and recorded; another group has its part; ended ones are given back', async () => {
    // Half for everyone, a quarter for each of the two: the loud group may have three quarters.
    const loud = [await connected('127.0.0.1'), await connected('127.0.0.1')];
    for (let turn = 0; turn < 6; turn += 1)
      for (const client of loud) void client.ask('GET /').catch(() => {});
    await eventually(() => taken('loud') === 12);
    const refused = await loud[0]?.ask('GET /beyond');
    expect([refused?.status, refused?.json()['reason']]).toEqual([503, 'overloaded']);
    const overloaded = { kind: 'end', reason: 'overloaded', group: 'loud' };
    await theRecord(world, overloaded);
    expect(await records(world, overloaded)).toHaveLength(1);

    const calm = await connected('127.0.0.2');
    void calm.ask('GET /').catch(() => {});
    await eventually(() => taken('calm') === 1);

    for (const client of clients) client.close();
    await eventually(() => taken('loud') === 0 && taken('calm') === 0);
  });
});
