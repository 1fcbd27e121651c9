/** Names that do not resolve: the right reason for each way, and no query for what is refused anyway. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAuthority } from '../../src/wire/authority.ts';
import { type DnsStub, startDnsStub } from '../helpers/dns-stub.ts';
import { intercepted, policy, theRecord } from '../helpers/scene.ts';
import { connectTls, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';

import { makeWorld, type World } from '../helpers/world.ts';

describe('name resolution', () => {
  let dns: DnsStub;
  let upstream: Upstream;
  let world: World;

  beforeAll(async () => {
    dns = await startDnsStub({
      'good.test': { a: ['127.0.0.1'], ttl: 1 },
      'broken.test': { rcode: 'SERVFAIL' },
      'silent.test': { silent: true },
      'forged.test': { a: ['127.0.0.1'], forge: 'id' },
    });
    upstream = await httpUpstream({ name: 'good.test' });
    const names = ['good', 'missing', 'broken', 'silent', 'forged'];
    world = await makeWorld({
      policies: { 'agents.yaml': policy(names.map((name) => intercepted(`${name}.test:${upstream.port}`))) },
      dns: [dns.address],
    });
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
    await dns.close();
  });

  it.each([
    ['missing.test', 502, 'dns_failed'],
    ['broken.test', 502, 'dns_failed'],
    ['silent.test', 504, 'dns_timeout'],
  ])('%s is %i %s', async (name, status, reason) => {
    const { answer } = await tryConnect(world.port, `${name}:${upstream.port}`);
    expect(answer.status).toBe(status);
    expect(answer.json()).toMatchObject({ reason });
    expect(answer.field('retry-after')).toBeDefined();
    expect(await theRecord(world, { kind: 'decision', host: name })).toMatchObject({
      verdict: 'deny',
      reason,
    });
  });

  it('asks the configured server for an allowed name', async () => {
    const client = await connectTls(world.port, `good.test:${upstream.port}`, { ca: world.caPem });
    const reply = await client.ask(`GET / HTTP/1.1\r\nHost: good.test:${upstream.port}\r\n\r\n`);
    expect(reply.status).toBe(200);
    client.destroy();
    expect(dns.queries.map((query) => query.name)).toContain('good.test');
  });

  it('does not ask for a name that no rule allows', async () => {
    const { answer } = await tryConnect(world.port, 'data.exfil.test:443');
    expect(answer.status).toBe(403);
    expect(dns.queries.map((query) => query.name)).not.toContain('data.exfil.test');
  });

  it('does not take a forged answer for the true one', async () => {
    const { client, answer } = await tryConnect(world.port, `forged.test:${upstream.port}`);
    expect(answer.status).toBe(200);
    const at = parseAuthority('forged.test:443');
    const found = 'host' in at ? world.proxy.parts.resolver.peek(at.host) : null;
    expect(found).toEqual(['127.0.0.1']);
    client.destroy();
  });
});
