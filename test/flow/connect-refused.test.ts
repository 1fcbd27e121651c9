/** A CONNECT that the policy refuses: told once, recorded once, closed; nothing is dialled. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { tryConnect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('a refused CONNECT', () => {
  let world: World;
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;

  beforeAll(async () => {
    upstream = await rawUpstream(() => {});
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          tunnelled(`api.test:${upstream.port}`),
          intercepted(`read.test:${upstream.port}`),
          `deny: "bad.test:${upstream.port}", reason: Ask the platform team.`,
        ]),
      },
      hosts: { 'other.test': ['127.0.0.1'], 'bad.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
  });

  it('carries reason and request id in its status line, and is closed by the proxy', async () => {
    const { client, answer } = await tryConnect(world.port, `other.test:${upstream.port}`);
    expect(answer.status).toBe(403);
    expect(answer.reason).toMatch(/^host_not_allowed 0[0-9A-Z]{25}$/);
    expect(answer.field('connection')).toBe('close');
    await client.over();
    expect(upstream.connections()).toBe(0);
  });

  it('shows the agent the words of the rule that denied', async () => {
    const { answer } = await tryConnect(world.port, `bad.test:${upstream.port}`);
    expect(answer.json()).toMatchObject({ reason: 'rule_denied' });
    expect(answer.json()['detail']).toContain('Ask the platform team.');
  });

  it('leaves one decision and one end under one request id', async () => {
    const { answer } = await tryConnect(world.port, 'api.test:1');
    const id = String(answer.json()['request_id']);
    const decision = await theRecord(world, { kind: 'decision', request_id: id });
    expect(decision).toMatchObject({
      verdict: 'deny',
      reason: 'port_not_allowed',
      stage: 'connect',
      method: 'CONNECT',
    });
    const end = await theRecord(world, { kind: 'end', request_id: id });
    expect(end).toMatchObject({ status: 403, ended: 'refused', bytes_up: 0 });
    expect(end['bytes_down']).toBe(answer.head.length + answer.body.length);
  });

  it('does not read on: a second request on the same connection gets no answer', async () => {
    const { client, answer } = await tryConnect(world.port, 'other.test:443', {
      headers: `\r\nGET http://api.test:${upstream.port}/ HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n`,
    });
    expect(answer.status).toBe(403);
    expect(answer.body.toString()).not.toContain('HTTP/1.1');
    await client.over();
  });
});
