/** Calls that wait for a person at several replicas: seen and decided at another one, and what was decided earlier. */
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { ApprovalView, Decision } from '../../src/base/approvals.ts';
import type { ControlPlane } from '../../src/base/control.ts';
import { joinReplicas } from '../../src/cli/start-replicas.ts';
import { createControl } from '../../src/control.ts';
import { describeWith } from '../helpers/programs.ts';
import { type RedisServer, redisServer } from '../helpers/redis.ts';
import { type Machine, type MachineOptions, machine, newKey, SOON_MS } from '../helpers/replicas.ts';
import { policy, theRecord } from '../helpers/scene.ts';
import { connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const KEY = newKey();

describeWith(['redis-server', 'redis-cli'], 'people at several replicas', () => {
  let redis: RedisServer;
  let web: Upstream;
  beforeAll(async () => {
    redis = await redisServer();
    web = await httpUpstream({ name: 'pay.test' });
  });
  afterAll(async () => {
    await redis.remove();
    await web.close();
  });
  beforeEach(() => void redis.cli('FLUSHALL'));

  const common = (): MachineOptions => ({ port: redis.port, key: KEY });
  type Side = {
    readonly world: World;
    readonly machine: Machine;
    readonly control: ControlPlane;
    /** of this replica alone */
    readonly own: ControlPlane;
  };
  const rule = () =>
    policy([`approve: "pay.test:${web.port}", wait: 5m, remember: 10m, addresses: [127.0.0.0/8]`]);
  const side = async (name: string): Promise<Side> => {
    const world = await makeWorld({
      policies: { 'agents.yaml': rule() },
      hosts: { 'pay.test': ['127.0.0.1'] },
    });
    const one = machine({ ...common(), name, dir: path.join(world.dir, '.sallyport') });
    const { metrics, trail } = world.proxy.parts;
    const own = createControl(world.proxy);
    const control = joinReplicas(one.replicas, {
      control: own,
      metrics,
      record: (event) => trail.operator(event),
      policies: () => [],
    });
    return { world, machine: one, control, own };
  };
  const withTwo = async (work: (a: Side, b: Side) => Promise<void>): Promise<void> => {
    const [a, b] = [await side('one'), await side('two')];
    try {
      for (const { machine: of } of [a, b])
        await eventually(() => of.replicas.view().seen.length === 2, SOON_MS);
      await work(a, b);
    } finally {
      for (const { machine: of, world } of [a, b]) {
        await of.replicas.close();
        await world.stop();
      }
    }
  };
  const ask = async ({ world }: Side, at = '/charge'): Promise<Talk> => {
    const client = await connectTls(world.port, `pay.test:${web.port}`, { ca: world.caPem });
    client.write(`POST ${at} HTTP/1.1\r\nHost: pay.test:${web.port}\r\nContent-Length: 1\r\n\r\nx`);
    return client;
  };
  const shown = ({ control }: Side, waiting = 1): Promise<ApprovalView> =>
    eventually(
      async () => (await control.approvals()).approvals.find((one) => one.waiting === waiting),
      SOON_MS,
    );
  const yes = (id: string, by: string): Decision => ({
    id,
    decision: 'allow',
    reason: null,
    remember: false,
    by,
    verified: false,
  });

  it('see and decide at one what waits at another, and its record says who', async () => {
    await withTwo(async (a, b) => {
      const client = await ask(a);
      const view = await shown(b);
      expect(view).toMatchObject({ method: 'POST', path: '/charge', body: { bytes: 1 } });
      expect(await b.control.decide(yes(view.id, 'bob'))).toMatchObject({ kind: 'done', released: 1 });
      expect((await client.reply()).status).toBe(200);
      const decision = await theRecord(a.world, { kind: 'decision', stage: 'request' });
      expect(decision).toMatchObject({ verdict: 'approve', approval: { id: view.id, by: 'bob' } });
      client.destroy();
    });
  });

  it('who answer at once, two of them at two replicas, are heard one after the other', async () => {
    await withTwo(async (a, b) => {
      const client = await ask(a);
      const view = await shown(b);
      const no: Decision = { ...yes(view.id, 'bob'), decision: 'deny' };
      const answers = await Promise.all([a.control.decide(yes(view.id, 'ann')), b.control.decide(no)]);
      expect(answers.map(({ kind }) => kind).sort()).toEqual(['done', 'over']);
      const allowed = answers[0]?.kind === 'done';
      expect((await client.reply()).status).toBe(allowed ? 200 : 403);
      expect(answers.find(({ kind }) => kind === 'over')).toMatchObject({ by: allowed ? 'ann' : 'bob' });
      client.destroy();
    });
  });

  it('decide once what waits at both', async () => {
    await withTwo(async (a, b) => {
      const clients = [await ask(a), await ask(b)];
      const view = await shown(b, 2);
      expect((await b.control.approvals()).approvals).toHaveLength(1);
      expect(await b.control.decide(yes(view.id, 'bob'))).toMatchObject({ kind: 'done', released: 2 });
      for (const client of clients) expect((await client.reply()).status).toBe(200);
      for (const client of clients) client.destroy();
    });
  });

  it('say yes at one for all, for as long as the rule remembers, and take it back at any', async () => {
    await withTwo(async (a, b) => {
      const first = await ask(a);
      const view = await shown(a);
      expect(await a.control.decide({ ...yes(view.id, 'ann'), remember: true })).toMatchObject({
        kind: 'done',
      });
      expect((await first.reply()).status).toBe(200);
      await eventually(async () => (await b.own.approvals()).remembered.length === 1, SOON_MS);
      const second = await ask(b);
      expect((await second.reply()).status).toBe(200);
      const [field = '', entry = ''] = redis.cli('HGETALL', 'sallyport:rulings').split('\n');
      expect(await b.control.forget(view.id, 'bob')).toBe(true);
      await eventually(async () => (await a.own.approvals()).remembered.length === 0, SOON_MS);
      // Nothing brings it back: not a Redis that was emptied, nor one into which the old entry is put again.
      redis.cli('FLUSHALL');
      redis.cli('HSET', 'sallyport:rulings', field, entry);
      for (const { machine: of } of [a, b]) expect(await of.replicas.settled(SOON_MS)).toBe(true);
      expect((await a.control.approvals()).remembered).toEqual([]);
      await eventually(() => redis.cli('HLEN', 'sallyport:rulings') === '0', SOON_MS);
      const third = await ask(a);
      await shown(a);
      for (const client of [first, second, third]) client.destroy();
    });
  });

  it('are asked at each replica alone while Redis is away', async () => {
    await withTwo(async (a, b) => {
      const client = await ask(a);
      const view = await shown(b);
      await redis.kill();
      try {
        await eventually(() => !b.machine.replicas.view().connected, SOON_MS);
        expect((await b.control.approvals()).approvals).toEqual([]);
        expect(await b.control.decide(yes(view.id, 'bob'))).toEqual({ kind: 'unknown' });
        expect(await a.control.decide(yes(view.id, 'ann'))).toMatchObject({ kind: 'done', released: 1 });
        expect((await client.reply()).status).toBe(200);
      } finally {
        await redis.start();
        client.destroy();
      }
    });
  });
});
