/** What operators see of replicas: who is alive, which policies are in force, what people did elsewhere; and strangers in Redis. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { joinReplicas } from '../../src/cli/start-replicas.ts';
import { createControl } from '../../src/control.ts';
import { describeWith } from '../helpers/programs.ts';
import { type RedisServer, redisServer } from '../helpers/redis.ts';
import { type Machine, machine, machines, newKey, SOON_MS } from '../helpers/replicas.ts';
import { policy } from '../helpers/scene.ts';
import { eventually, makeWorld } from '../helpers/world.ts';

const KEY = newKey();

describeWith(['redis-server', 'redis-cli'], 'of replicas, operators see', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await redisServer();
  });
  afterAll(() => redis.remove());
  beforeEach(() => void redis.cli('FLUSHALL'));

  const some = (count: 2 | 3): Promise<[Machine, Machine, Machine]> =>
    machines(count, { port: redis.port, key: KEY });

  it('which policies are in force at each, and that they differ, by status, readiness and metrics', async () => {
    const [a, b] = await some(2);
    const world = await makeWorld({ policies: { 'agents.yaml': policy([]) } });
    try {
      const mine = world.proxy.parts.snapshots.current()?.set.hash ?? '';
      const { metrics, trail } = world.proxy.parts;
      const control = joinReplicas(a.replicas, {
        control: createControl(world.proxy),
        metrics,
        record: (event) => trail.operator(event),
        policies: () => [mine],
      });
      b.replicas.tellPolicies(() => [mine]);
      await eventually(
        () => a.replicas.view().seen.filter(({ policies }) => policies.length > 0).length === 2,
        SOON_MS,
      );
      expect(a.replicas.view()).toMatchObject({ connected: true, policies: 1 });
      expect(await control.ready()).toMatchObject({ ready: true, notes: [] });
      b.replicas.tellPolicies(() => ['another']);
      await eventually(() => a.replicas.view().policies === 2, SOON_MS);
      expect(await control.ready()).toMatchObject({
        ready: true,
        notes: ['the replicas have different policies'],
      });
      expect((await control.status()).replicas?.seen).toMatchObject([
        { name: 'one', self: true, policies: [mine] },
        { name: 'two', self: false, policies: ['another'] },
      ]);
      expect(await world.metrics()).toMatch(
        /^sallyport_replicas 2$[\s\S]*^sallyport_replica_policies 2$[\s\S]*^sallyport_replicas_shared 1$/m,
      );
      await b.lockdown.lock({ group: 'agents', by: 'ann', reason: 'incident 42' });
      const taken = await eventually(
        async () => (await world.audit()).find(({ action }) => action === 'lockdown.on'),
        SOON_MS,
      );
      expect(taken).toMatchObject({ operator: 'ann', origin: 'replica', replica: 'two', why: 'incident 42' });
      // One that could load none differs from those that have one.
      b.replicas.tellPolicies(() => []);
      await eventually(() => a.replicas.view().seen.some(({ policies }) => policies.length === 0), SOON_MS);
      expect(a.replicas.view().policies).toBe(2);
    } finally {
      await world.stop();
    }
  });

  it('at once that one has gone, and that Redis has', async () => {
    const [a, b] = await some(2);
    await eventually(() => a.replicas.view().seen.length === 2, SOON_MS);
    await b.replicas.close();
    await eventually(() => a.replicas.view().seen.length === 1, 5_000);
    await redis.kill();
    await eventually(() => !a.replicas.view().connected, SOON_MS);
    const { shared } = a.replicas.view();
    await redis.start();
    await eventually(() => a.replicas.view().connected, SOON_MS);
    expect(Date.parse(a.replicas.view().shared ?? '')).toBeGreaterThan(Date.parse(shared ?? ''));
  });

  it('who locked, let go and revoked at another, why and where, in the record of each', async () => {
    const [a, b] = await some(2);
    const { record } = a.tokens.create({ group: 'agents' });
    await eventually(() => b.tokens.valid(record.id), SOON_MS);
    await a.lockdown.lock({ group: 'agents', by: 'ann', reason: 'incident 42' });
    await eventually(() => b.lockdown.denial('agents'), SOON_MS);
    await b.lockdown.unlock('agents', { by: 'bob', reason: 'all clear' });
    await eventually(() => a.lockdown.denial('agents') === null, SOON_MS);
    a.tokens.revoke(record.id, 'cli:carol');
    await eventually(() => b.taken.length === 2 && a.taken.length === 1, SOON_MS);
    const common = { kind: 'operator', origin: 'replica', client: null, outcome: 'done', group: 'agents' };
    expect(b.taken).toMatchObject([
      { ...common, action: 'lockdown.on', operator: 'ann', why: 'incident 42', replica: 'one' },
      {
        ...common,
        action: 'token.revoke',
        operator: 'cli:carol',
        subject: record.id,
        why: null,
        replica: 'one',
      },
    ]);
    expect(a.taken).toMatchObject([
      { ...common, action: 'lockdown.off', operator: 'bob', why: 'all clear', replica: 'two' },
    ]);
  });

  it('what was taken over before there was a record, too', async () => {
    const [a] = await some(2);
    await a.lockdown.lock({ group: '*', by: 'ann', reason: 'incident 42' });
    await eventually(() => redis.cli('HLEN', 'sallyport:lockdown') === '1', SOON_MS);
    const late = machine({ port: redis.port, key: KEY, name: 'late' });
    await eventually(() => late.taken.length === 1, SOON_MS);
    expect(late.taken).toMatchObject([{ action: 'lockdown.on', group: '*', operator: 'ann' }]);
  });

  it('that a lock and a revocation get through where strangers have written over them', async () => {
    const [a, b] = await some(2);
    const { record } = a.tokens.create({ group: 'agents' });
    await eventually(() => b.tokens.valid(record.id), SOON_MS);
    redis.cli('HSET', 'sallyport:lockdown', '*', '999999999 forged');
    redis.cli('HSET', 'sallyport:revoked', record.id, 'x'.repeat(100_000));
    await eventually(() => b.log().includes('no replica wrote'), 30_000);
    a.tokens.revoke(record.id);
    await a.lockdown.lock({ group: '*', by: 'ann', reason: 'incident 42' });
    await eventually(() => b.lockdown.denial('agents') !== null && !b.tokens.valid(record.id), SOON_MS);
  });

  it('nothing readable in Redis', async () => {
    const [a] = await some(2);
    a.tokens.create({ group: 'agents' });
    await a.lockdown.lock({ group: 'agents', by: 'ann', reason: 'incident 42' });
    await eventually(() => redis.cli('HLEN', 'sallyport:tokens') === '1', SOON_MS);
    await eventually(() => redis.cli('HLEN', 'sallyport:lockdown') === '1', SOON_MS);
    const all = ['tokens', 'lockdown', 'replicas']
      .map((kind) => redis.cli('HVALS', `sallyport:${kind}`))
      .join();
    expect(all).not.toMatch(/agents|ann|incident|hash|one/);
  });
});
