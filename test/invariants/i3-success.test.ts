/** I3: a success reply goes out only after gate, address check and, for a tunnel, the dial. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DnsStub, startDnsStub } from '../helpers/dns-stub.ts';
import { intercepted, policy, records, tunnelled } from '../helpers/scene.ts';
import { connect, connectText, open, tryConnect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('I3: success is told last', () => {
  let dns: DnsStub;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  beforeAll(async () => {
    raw = await rawUpstream((socket) => socket.resume());
    dns = await startDnsStub({
      'slow.test': { a: ['127.0.0.1'], delayMs: 1_500 },
      'api.test': { a: ['127.0.0.1'] },
      'inner.test': { a: ['10.0.0.1'] },
    });
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          tunnelled(`slow.test:${raw.port}`, 'protocol: any'),
          tunnelled(`api.test:${raw.port}`, 'protocol: any'),
          tunnelled('api.test:1', 'protocol: any'),
          intercepted('inner.test:443'),
          intercepted(`slow.test:${raw.port + 1}`),
        ]),
      },
      dns: [dns.address],
    });
  });
  afterAll(async () => {
    await world.stop();
    await raw.close();
    await dns.close();
  });

  it('not one byte while the name is looked up', async () => {
    for (const port of [raw.port, raw.port + 1]) {
      const client = await open(world.port);
      client.write(connectText(`slow.test:${port}`));
      await eventually(() => dns.queries.some(({ name }) => name === 'slow.test'));
      expect((await client.bytes(0)).length).toBe(0);
      expect((await client.head()).status).toBe(200);
      client.destroy();
    }
  });

  it('a tunnel’s 200 comes after the upstream accepted', async () => {
    const before = raw.connections();
    const client = await connect(world.port, `api.test:${raw.port}`);
    await eventually(() => raw.connections() === before + 1);
    const [decision] = await records(world, { kind: 'decision', host: 'api.test', verdict: 'allow' });
    expect(decision).toBeDefined();
    client.destroy();
  });

  it('a tunnel to a port where nobody listens gets 502, never a 200', async () => {
    const { answer } = await tryConnect(world.port, 'api.test:1');
    expect(answer.status).toBe(502);
  });

  it('an intercepted host whose address is not allowed gets 403, never a 200', async () => {
    const { answer } = await tryConnect(world.port, 'inner.test:443');
    expect(answer.status).toBe(403);
  });

  it('a policy that changes while the name is looked up is asked again', async () => {
    dns.set('late.test', { a: ['127.0.0.1'], delayMs: 1_500 });
    world.setPolicy('agents.yaml', policy([tunnelled(`late.test:${raw.port}`, 'protocol: any')]));
    const client = await open(world.port);
    client.write(connectText(`late.test:${raw.port}`));
    await eventually(() => dns.queries.some(({ name }) => name === 'late.test'));
    const before = raw.connections();
    world.setPolicy('agents.yaml', policy([tunnelled(`api.test:${raw.port}`, 'protocol: any')]));
    expect((await client.head()).status).toBe(403);
    expect(raw.connections()).toBe(before);
  });
});
