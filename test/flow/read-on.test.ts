/**
 * A client that is refused is read on for a while, whatever it still sends: else it would not come to reading why, and
 * nobody would hear that it left. Here no time passes, so that only the client's own end can end its connection.
 */
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, tunnelled } from '../helpers/scene.ts';
import { connect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REST = Buffer.alloc(600_000, 'x');

describe('a client that is refused for its first bytes', () => {
  const now = Date.now();
  let mono = 1_000;
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  beforeAll(async () => {
    upstream = await rawUpstream((socket) => socket.resume());
    const rules = [
      intercepted(`web.test:${upstream.port}`),
      tunnelled(`raw.test:${upstream.port}`, 'protocol: tls'),
    ];
    world = await makeWorld({
      policies: { 'agents.yaml': policy(rules, { more: 'refuse: inside\n' }) },
      hosts: { 'web.test': ['127.0.0.1'], 'raw.test': ['127.0.0.1'] },
      clock: { now: () => now, mono: () => mono },
    });
  });
  afterAll(async () => {
    mono += 3_600_000;
    await world.stop();
    await upstream.close();
  });

  it.each([
    ['where TLS is intercepted', (port: number) => `web.test:${port}`],
    ['on a tunnel', (port: number) => `raw.test:${port}`],
    ['where a refusal is told inside', () => 'other.test:443'],
  ])('%s is read to its end', async (_where, at) => {
    const host = at(upstream.port);
    const client = await connect(world.port, host);
    client.write(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${REST.length}\r\n\r\n`);
    expect((await client.head()).status).toBeGreaterThanOrEqual(400);
    client.socket.end(REST);
    await once(client.socket, 'finish');
    await eventually(() => world.proxy.parts.live.connections === 0);
    expect(client.socket.errored).toBe(null);
  });
});
