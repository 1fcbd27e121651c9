/** A revocation or a lock at one replica cuts what is open at another: by a message at once, and by a look where messages are lost. */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { type RedisServer, redisServer } from '../helpers/redis.ts';
import { type Machine, type MachineOptions, machine, newKey, SOON_MS } from '../helpers/replicas.ts';
import { policy, tunnelled } from '../helpers/scene.ts';
import { connect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const KEY = newKey();
/** Longer than any test: whoever hears of something hears it by a message. */
const NEVER_MS = 3_600_000;
/** Longer than `base/watch-file.ts` doubts a file, and than a look takes. */
const QUIET_MS = 2_000;

describeWith(['redis-server', 'redis-cli'], 'what is open at another replica is cut', () => {
  let redis: RedisServer;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  beforeAll(async () => {
    redis = await redisServer();
    raw = await rawUpstream((socket) => socket.pipe(socket));
  });
  afterAll(async () => {
    await redis.remove();
    await raw.close();
  });
  beforeEach(() => void redis.cli('FLUSHALL'));

  type Side = { readonly world: World; readonly machine: Machine };
  const side = async (more: Partial<MachineOptions>): Promise<Side> => {
    const rules = policy([tunnelled(`raw.test:${raw.port}`, 'protocol: any')], { group: 'bots' });
    const world = await makeWorld({
      policies: { 'bots.yaml': rules.replace(/^identify:.*$/m, 'identify: { token: required }') },
      hosts: { 'raw.test': ['127.0.0.1'] },
    });
    const dir = path.join(world.dir, '.sallyport');
    const one = machine({ port: redis.port, key: KEY, dir, ...more });
    return { world, machine: one };
  };
  /** Files that were just written are looked at several times, which must not be what brings the news. */
  const quiet = async (...sides: Side[]): Promise<void> => {
    const written = sides.flatMap(({ machine: { dir } }) =>
      readdirSync(dir).flatMap((name) =>
        name.endsWith('.json') ? [statSync(path.join(dir, name)).mtimeMs] : [],
      ),
    );
    await eventually(() => Date.now() - Math.max(0, ...written) > QUIET_MS);
  };
  /** At `a` a token is revoked and everybody locked, one after the other; `b` has something open each time. */
  const cutTwice = async (a: Side, b: Side): Promise<number[]> => {
    const took: number[] = [];
    for (const { machine: of } of [a, b]) expect(await of.replicas.settled(SOON_MS)).toBe(true);
    await quiet(a, b);
    const { token, record } = a.machine.tokens.create({ group: 'bots' });
    const { token: other } = a.machine.tokens.create({ group: 'bots' });
    await eventually(() => b.machine.tokens.verify(token) && b.machine.tokens.verify(other), SOON_MS);
    await eventually(() => b.world.proxy.parts.tokens.valid(record.id), SOON_MS);
    const open = (by: string) =>
      connect(b.world.port, `raw.test:${raw.port}`, { headers: `Proxy-Authorization: Bearer ${by}\r\n` });
    const [first, second] = [await open(token), await open(other)];
    for (const [tunnel, cut] of [
      [first, () => void a.machine.tokens.revoke(record.id)],
      [second, () => void a.machine.lockdown.lock({ group: '*', by: 'ann', reason: 'incident 42' })],
    ] as const) {
      await quiet(a, b);
      const over = tunnel.over(SOON_MS);
      const from = performance.now();
      cut();
      await over;
      took.push(performance.now() - from);
    }
    return took;
  };
  const withTwo = async (
    more: Partial<MachineOptions>,
    work: (a: Side, b: Side) => Promise<void>,
  ): Promise<void> => {
    const sides = [await side(more), await side(more)] as const;
    try {
      await work(...sides);
    } finally {
      for (const { machine: of, world } of sides) {
        await of.replicas.close();
        await world.stop();
      }
    }
  };

  it('by a message, within a second of the action, with no look by the clock', async () => {
    await withTwo({ lookEveryMs: NEVER_MS }, async (a, b) => {
      const took = await cutTwice(a, b);
      // Busy machines are slow machines: the best of two tells of the mechanism.
      expect(Math.min(...took)).toBeLessThan(1_000);
    });
  });

  it('by the look each second, where no message comes through', async () => {
    redis.cli('ACL', 'SETUSER', 'deaf', 'on', '>deaf', '~*', '&*', '+@all', '-subscribe');
    await withTwo({ username: 'deaf', password: 'deaf' }, async (a, b) => {
      expect(await cutTwice(a, b)).toHaveLength(2);
      expect(b.machine.log()).toContain('NOPERM');
    });
  });

  it('by the look after a connection that was lost, for what was told meanwhile', async () => {
    await withTwo({ lookEveryMs: NEVER_MS }, async (a, b) => {
      for (const { machine: of } of [a, b]) expect(await of.replicas.settled(SOON_MS)).toBe(true);
      await redis.kill();
      await a.machine.lockdown.lock({ group: '*', by: 'ann', reason: 'incident 42' });
      await redis.start();
      await eventually(() => b.world.proxy.parts.lockdown.denial('bots'), SOON_MS);
    });
  });
});
