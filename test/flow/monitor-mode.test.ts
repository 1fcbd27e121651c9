/** Monitor mode lets the group's own refusals through and says so; it lifts nothing else (contract 3). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { metricSum, policy, profile, theRecord } from '../helpers/scene.ts';
import { askOnce, connectTls, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('monitor mode', () => {
  let web: Upstream;
  let world: World;

  beforeAll(async () => {
    web = await httpUpstream({ name: 'web.test' });
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([`allow: "web.test:${web.port}", methods: [GET], addresses: [127.0.0.0/8]`], {
          more: 'mode: monitor\nprofile: keys\n',
        }),
        'profiles/keys.yaml': profile([
          { env: 'API_KEY', from: 'env:REAL', hosts: [`web.test:${web.port}`] },
        ]),
        'guardrails.yaml': 'version: 1\nrules:\n  - { deny: ["paste.test"], reason: never }\n',
      },
      hosts: { 'web.test': ['127.0.0.1'], 'paste.test': ['127.0.0.1'], 'new.test': ['127.0.0.1'] },
      env: { REAL: 'sk-real-key-value-0123456789abcdef' },
    });
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  // What it lets through goes to public addresses only, and loopback has none; test/network/ shows the rest.
  it('lifts a method rule, but the ranges that the rule opens stay its own', async () => {
    const at = `web.test:${web.port}`;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const reply = await client.ask(`POST /x HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 0\r\n\r\n`);
    expect(reply.status).toBe(403);
    expect(await theRecord(world, { kind: 'decision', path: '/x' })).toMatchObject({
      reason: 'address_not_allowed',
    });
    client.destroy();
  });

  it('does not lift the address guard', async () => {
    const { answer } = await tryConnect(world.port, 'new.test:443');
    expect(answer.json()).toMatchObject({ reason: 'address_not_allowed' });
  });

  it('does not lift guardrails', async () => {
    const { answer } = await tryConnect(world.port, 'paste.test:443');
    expect(answer.json()).toMatchObject({ reason: 'rule_denied' });
    expect(answer.json()['detail']).toContain('never');
  });

  it('does not lift anything about keys', async () => {
    const at = `web.test:${web.port}`;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const leaked = await client.ask(
      `GET /k HTTP/1.1\r\nHost: ${at}\r\nX-Key: sk-real-key-value-0123456789abcdef\r\n\r\n`,
    );
    expect(leaked.json()).toMatchObject({ reason: 'secret_leak' });
    client.destroy();
    expect(web.seen).toEqual([]);
  });

  it('does not lift identity', async () => {
    const reply = await askOnce(
      world.port,
      'CONNECT new.test:443 HTTP/1.1\r\nHost: new.test:443\r\nProxy-Authorization: Bearer sp_tok_0000000000000000_nonsense\r\n\r\n',
    );
    expect(reply.json()).toMatchObject({ status: 407, reason: 'auth_invalid' });
    expect(await metricSum(world, 'sallyport_decisions_total', ['reason="auth_invalid"'])).toBe(1);
  });
});
