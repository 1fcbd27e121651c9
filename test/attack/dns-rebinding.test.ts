/** DNS rebinding: a name that first leads outside and then inside gets nobody inside. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DnsStub, startDnsStub } from '../helpers/dns-stub.ts';
import { policy, theRecord } from '../helpers/scene.ts';
import { askOnce, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('rebinding', () => {
  let dns: DnsStub;
  let inner: Upstream;
  let open: Upstream;
  let world: World;

  beforeAll(async () => {
    // 127.0.0.1 stands for the address that the rule opens, 127.0.0.2 for the inside.
    open = await httpUpstream();
    inner = await httpUpstream({ host: '127.0.0.2', port: open.port });
    dns = await startDnsStub({
      'rebind.test': [
        { a: ['127.0.0.1'], ttl: 0 },
        { a: ['127.0.0.2'], ttl: 0 },
      ],
      'mixed.test': { a: ['127.0.0.1'], aaaa: ['::1'] },
      'alias.test': { cname: ['inner.service.test'], a: ['169.254.169.254'] },
      'zero.test': { a: ['0.0.0.0'] },
      'nat64.test': { aaaa: ['64:ff9b::7f00:2'] },
    });
    const names = ['rebind', 'mixed', 'alias', 'zero', 'nat64'];
    const rules = names.map(
      (name) => `allow: "${name}.test:${open.port}", methods: [GET], addresses: [127.0.0.1/32]`,
    );
    world = await makeWorld({ policies: { 'agents.yaml': policy(rules) }, dns: [dns.address] });
  });
  afterAll(async () => {
    await world.stop();
    await open.close();
    await inner.close();
    await dns.close();
  });

  const get = (name: string) =>
    askOnce(
      world.port,
      `GET http://${name}:${open.port}/ HTTP/1.1\r\nHost: ${name}:${open.port}\r\nConnection: close\r\n\r\n`,
    );

  it('the second answer is judged as the first was', async () => {
    expect((await get('rebind.test')).status).toBe(200);
    const refused = await eventually(async () => {
      world.proxy.parts.pool.retire('none');
      const reply = await get('rebind.test');
      return reply.status === 200 ? null : reply;
    });
    expect(refused.json()).toMatchObject({ reason: 'address_not_allowed' });
    expect(inner.connections()).toBe(0);
  });

  it.each([['mixed.test'], ['alias.test'], ['zero.test'], ['nat64.test']])(
    '%s is refused, and not told where it leads',
    async (name) => {
      const { answer } = await tryConnect(world.port, `${name}:${open.port}`);
      expect(answer.json()).toMatchObject({ status: 403, reason: 'address_not_allowed' });
      expect(answer.body.toString()).not.toMatch(/127\.0|169\.254|::1|0\.0\.0\.0|ff9b/);
      expect(await theRecord(world, { kind: 'decision', host: name })).toMatchObject({ verdict: 'deny' });
    },
  );
});
