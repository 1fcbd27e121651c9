/** I2: the address that was checked is the one that is connected, for names and literals alike. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DnsStub, startDnsStub } from '../helpers/dns-stub.ts';
import { intercepted, policy, tunnelled } from '../helpers/scene.ts';
import { askOnce, connect, connectTls, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('I2: the address checked is the address connected', () => {
  let dns: DnsStub;
  /** the one that rules open, 127.0.0.1 */
  let good: Upstream;
  /** on the same port of 127.0.0.2: no rule opens it */
  let bad: Upstream;
  let secure: Upstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  beforeAll(async () => {
    good = await httpUpstream({ answer: (_request, response) => void response.end('good') });
    bad = await httpUpstream({
      host: '127.0.0.2',
      port: good.port,
      answer: (_request, response) => void response.end('bad'),
    });
    secure = await httpUpstream({ name: 'flip.test' });
    raw = await rawUpstream((socket) => socket.end('raw'));
    dns = await startDnsStub({
      // Every second answer is the bad one: whoever asks twice connects elsewhere than it checked.
      'flip.test': [
        { a: ['127.0.0.1'], ttl: 0 },
        { a: ['127.0.0.2'], ttl: 0 },
        { a: ['127.0.0.1'], ttl: 0 },
        { a: ['127.0.0.2'], ttl: 0 },
      ],
      'both.test': { a: ['127.0.0.1', '127.0.0.2'] },
      'mapped.test': { aaaa: ['::ffff:127.0.0.2'] },
      'meta.test': { a: ['169.254.169.254'] },
    });
    const rules = ['flip', 'both', 'mapped', 'meta'].map(
      (name) =>
        `allow: "${name}.test:${good.port}", methods: [GET], addresses: [127.0.0.1/32, 169.254.0.0/16]`,
    );
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          ...rules,
          `allow: "flip.test:${secure.port}", methods: [GET], addresses: [127.0.0.1/32]`,
          `allow: "flip.test:${raw.port}", protocol: any, addresses: [127.0.0.1/32]`,
          `allow: "127.0.0.1:${good.port}", methods: [GET], addresses: [127.0.0.1/32]`,
          `allow: "127.0.0.2:${good.port}", methods: [GET]`,
        ]),
      },
      dns: [dns.address],
    });
  });
  afterAll(async () => {
    await world.stop();
    for (const one of [good, bad, secure, raw]) await one.close();
    await dns.close();
  });

  const get = (host: string) =>
    askOnce(
      world.port,
      `GET http://${host}:${good.port}/ HTTP/1.1\r\nHost: ${host}:${good.port}\r\nConnection: close\r\n\r\n`,
    );

  it('one lookup serves the check and the connection', async () => {
    expect((await get('flip.test')).body.toString()).toBe('good');
    const asked = dns.queries.filter(({ name, type }) => name === 'flip.test' && type === 'A');
    expect(asked).toHaveLength(1);
  });

  it('whatever the answers, the bad address is never connected', async () => {
    const statuses = new Set<number>();
    for (let round = 0; round < 6; round += 1) {
      world.proxy.parts.pool.retire('none');
      statuses.add((await get('flip.test')).status);
      const tunnel = await tryConnect(world.port, `flip.test:${raw.port}`);
      statuses.add(tunnel.answer.status);
      tunnel.client.destroy();
    }
    expect(bad.connections()).toBe(0);
    for (const status of statuses) expect([200, 403]).toContain(status);
  });

  it('one bad answer among good ones refuses the name', async () => {
    expect((await get('both.test')).json()).toMatchObject({ reason: 'address_not_allowed' });
    expect(bad.connections()).toBe(0);
  });

  it.each([['mapped.test'], ['meta.test'], ['127.0.0.2']])('%s is judged like any address', async (host) => {
    expect((await get(host)).json()).toMatchObject({ reason: 'address_not_allowed' });
    expect(bad.connections()).toBe(0);
  });

  it('a literal that the rule opens is connected', async () => {
    expect((await get('127.0.0.1')).body.toString()).toBe('good');
  });

  it('the proxy’s own listener is never a target, whatever a rule opens', async () => {
    world.setPolicy(
      'agents.yaml',
      policy([intercepted(`127.0.0.1:${world.port}`), tunnelled(`127.0.0.1:${raw.port}`, 'protocol: any')]),
    );
    const { answer } = await tryConnect(world.port, `127.0.0.1:${world.port}`);
    expect(answer.json()).toMatchObject({ reason: 'address_not_allowed' });
    const client = await connect(world.port, `127.0.0.1:${raw.port}`);
    expect((await client.rest()).toString()).toBe('raw');
    await expect(connectTls(world.port, `127.0.0.1:${world.port}`, { ca: world.caPem })).rejects.toThrow(
      /address_not_allowed/,
    );
  });
});
