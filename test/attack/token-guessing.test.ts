/** Guessed, broken, revoked and expired tokens: one answer for all, and nothing to learn from it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { metricSum, policy, tunnelled } from '../helpers/scene.ts';
import { tryConnect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { makeWorld, movableClock, type World } from '../helpers/world.ts';

describe('token guessing', () => {
  const clock = movableClock();
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';
  const tokens: Record<string, string> = {};

  beforeAll(async () => {
    raw = await rawUpstream((socket) => socket.resume());
    at = `raw.test:${raw.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([tunnelled(at, 'protocol: any')], { sources: '127.0.0.0/30' }).replace(
          'sources: [127.0.0.0/30]',
          'sources: [127.0.0.0/30], token: required',
        ),
        'others.yaml': policy([tunnelled(at, 'protocol: any')], { group: 'others', sources: '127.0.0.8/32' }),
      },
      hosts: { 'raw.test': ['127.0.0.1'] },
      clock,
    });
    const { tokens: store } = world.proxy.parts;
    tokens['good'] = store.create({ group: 'agents' }).token;
    const revoked = store.create({ group: 'agents' });
    store.revoke(revoked.record.id);
    tokens['revoked'] = revoked.token;
    tokens['expired'] = store.create({ group: 'agents', expiresMs: 1_000 }).token;
    tokens['of a group of another network'] = store.create({ group: 'others' }).token;
    clock.advance(2_000);
    const { good } = tokens;
    tokens['wrong secret'] = `${good.slice(0, -4)}AAAA`;
    tokens['unknown id'] = good.replace(/tok_[0-9a-z]{4}/, 'tok_0000');
    tokens['a part'] = good.slice(0, -1);
    tokens['longer'] = `${good}A`;
    tokens['upper case'] = good.toUpperCase();
    tokens['empty'] = '';
    tokens['very long'] = 'A'.repeat(8_000);
  });
  afterAll(async () => {
    await world.stop();
    await raw.close();
  });

  const withToken = (token: string, how: 'basic' | 'bearer') => {
    const value =
      how === 'bearer' ? `Bearer ${token}` : `Basic ${Buffer.from(`any:${token}`).toString('base64')}`;
    return tryConnect(world.port, at, { headers: `Proxy-Authorization: ${value}\r\n` });
  };

  it('the good one opens the tunnel, as password and as bearer', async () => {
    for (const how of ['basic', 'bearer'] as const) {
      const { client, answer } = await withToken(tokens['good'] ?? '', how);
      expect(answer.status).toBe(200);
      client.destroy();
    }
  });

  it('every other one gets the same answer to the byte, but for the id', async () => {
    const answers = new Set<string>();
    const bad = Object.entries(tokens).filter(([what]) => what !== 'good');
    for (const [, token] of bad) {
      for (const how of ['basic', 'bearer'] as const) {
        const { answer } = await withToken(token, how);
        const id = String(answer.json()['request_id']);
        answers.add((answer.head + answer.body.toString()).replaceAll(id, 'ID'));
      }
    }
    expect([...answers]).toHaveLength(1);
    expect([...answers][0]).toMatch(/^HTTP\/1\.1 407 auth_invalid/);
    expect(await metricSum(world, 'sallyport_decisions_total', ['reason="auth_invalid"'])).toBe(
      bad.length * 2,
    );
  });

  it('two credentials, or none that can be read, are refused as well', async () => {
    const good = `Proxy-Authorization: Bearer ${tokens['good']}\r\n`;
    for (const headers of [
      good + good,
      'Proxy-Authorization: Basic !!!\r\n',
      'Proxy-Authorization: Digest x\r\n',
      'Proxy-Authorization:\r\n',
    ]) {
      const { answer } = await tryConnect(world.port, at, { headers });
      expect(answer.status).toBe(407);
    }
  });

  it('a token does not reach the log or the record', async () => {
    const shown = world.log() + JSON.stringify(await world.audit()) + (await world.metrics());
    for (const token of [tokens['good'], tokens['revoked']]) expect(shown).not.toContain(token?.slice(-43));
  });
});
