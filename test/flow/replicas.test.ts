/** What replicas share through a real Redis: tokens, revocations, lockdown, limits; and what holds while it is away. */
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { type RedisServer, redisServer } from '../helpers/redis.ts';
import {
  hold,
  type Machine,
  type MachineOptions,
  machine,
  machines,
  newKey,
  SOON_MS,
  spend,
  take,
} from '../helpers/replicas.ts';
import { eventually } from '../helpers/world.ts';

const KEY = newKey();
const BY = { by: 'ann', reason: 'incident 42' } as const;

describeWith(['redis-server', 'redis-cli'], 'replicas', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await redisServer();
  });
  afterAll(() => redis.remove());
  beforeEach(() => void redis.cli('FLUSHALL'));

  const some = (count: 2 | 3): Promise<[Machine, Machine, Machine]> =>
    machines(count, { port: redis.port, key: KEY });
  const lone = (more: Partial<MachineOptions> = {}): Machine =>
    machine({ port: redis.port, key: KEY, ...more });

  it('know each other’s tokens, and revoke them everywhere', async () => {
    const [a, b, c] = await some(3);
    const { token, record } = a.tokens.create({ group: 'agents' });
    for (const other of [b, c]) await eventually(() => other.tokens.verify(token), SOON_MS);
    expect(b.tokens.list()).toMatchObject([{ id: record.id, group: 'agents' }]);
    expect(c.tokens.revoke(record.id)).toBe(true);
    for (const other of [a, b]) await eventually(() => other.tokens.valid(record.id) === false, SOON_MS);
    expect(redis.cli('HGETALL', 'sallyport:tokens')).not.toContain(token.slice(-43));
  });

  it('lock and unlock together, and the later of the two counts', async () => {
    const [a, b, c] = await some(3);
    await a.lockdown.lock({ group: 'agents', ...BY });
    for (const other of [b, c]) await eventually(() => other.lockdown.denial('agents'), SOON_MS);
    expect(b.lockdown.locks()).toMatchObject([{ group: 'agents', ...BY }]);
    expect(b.lockdown.denial('others')).toBeNull();
    await b.lockdown.unlock('agents');
    for (const other of [a, c]) await eventually(() => other.lockdown.denial('agents') === null, SOON_MS);
    await c.lockdown.lock({ group: '*', ...BY });
    for (const other of [a, b]) await eventually(() => other.lockdown.denial('others'), SOON_MS);
    expect(a.log()).toContain('locked at another replica');
  });

  it('keep a file that somebody touches, and one that is damaged, to the machine where it is', async () => {
    const [a, b] = await some(2);
    await a.lockdown.lock({ group: 'agents', ...BY });
    await eventually(() => b.lockdown.denial('agents'), SOON_MS);
    writeFileSync(path.join(a.dir, 'lockdown.json'), 'no JSON');
    await eventually(() => a.lockdown.denial('others'), SOON_MS);
    expect(await a.replicas.settled(SOON_MS)).toBe(true);
    expect(await b.replicas.settled(SOON_MS)).toBe(true);
    expect(b.lockdown.denial('others')).toBeNull();
    expect(b.lockdown.denial('agents')).not.toBeNull();
  });

  it('count rates, budgets and places together', async () => {
    const [a, b] = await some(2);
    const waits: number[] = [];
    for (const one of [a, b, a, b]) waits.push(await take(one, 3));
    expect(waits.slice(0, 3)).toEqual([0, 0, 0]);
    expect(waits[3]).toBeGreaterThan(0);
    expect([await spend(a, 70), await spend(b, 70)]).toEqual([30, -40]);
    expect([await hold(a, 2), await hold(b, 2), await hold(a, 2)]).toEqual([true, true, false]);
    b.replicas.store.release('connections g');
    await eventually(() => hold(a, 2), SOON_MS);
  });

  it('forget nothing when Redis is killed and comes back empty', async () => {
    const [a, b] = await some(2);
    const { token, record } = a.tokens.create({ group: 'agents' });
    const { record: gone } = a.tokens.create({ group: 'agents' });
    await eventually(() => b.tokens.valid(gone.id) && b.tokens.valid(record.id), SOON_MS);
    await redis.kill();
    a.tokens.revoke(gone.id);
    await b.lockdown.lock({ group: 'agents', ...BY });
    expect(a.tokens.verify(token)?.id).toBe(record.id);
    expect(b.tokens.verify(token)?.id).toBe(record.id);
    await eventually(() => a.log().includes('nothing is shared'), SOON_MS);
    await redis.start();
    await eventually(() => b.tokens.valid(gone.id) === false, SOON_MS);
    await eventually(() => a.lockdown.denial('agents'), SOON_MS);
    const late = lone();
    await eventually(() => late.lockdown.denial('agents') !== null && late.tokens.verify(token), SOON_MS);
    expect(late.tokens.valid(gone.id)).toBe(false);
  });

  it('answer by half of each limit, in time, while Redis is paused, killed or read-only', async () => {
    const paused = lone({ answerMs: 300 });
    expect(await paused.replicas.settled(SOON_MS)).toBe(true);
    redis.pause();
    try {
      const times: number[] = [];
      const timed = async <T>(asked: () => Promise<T>): Promise<T> => {
        const before = performance.now();
        const answer = await asked();
        times.push(performance.now() - before);
        return answer;
      };
      const taken = [0, 0, 0];
      for (const index of taken.keys()) taken[index] = await timed(async () => take(paused, 4));
      expect(taken.map((wait) => wait === 0)).toEqual([true, true, false]);
      const held = [true, true, true];
      for (const index of held.keys()) held[index] = await timed(async () => hold(paused, 4));
      expect(held).toEqual([true, true, false]);
      expect(await timed(async () => spend(paused, 60))).toBe(-10);
      // Not each of them waits: after the first, Redis is left alone for a second.
      expect(times.filter((ms) => ms < 250).length).toBeGreaterThanOrEqual(4);
    } finally {
      redis.goOn();
    }
    redis.cli('REPLICAOF', '127.0.0.1', '1');
    const readOnly = lone();
    const waits = [await take(readOnly, 2), await take(readOnly, 2)];
    expect(waits[0]).toBe(0);
    expect(waits[1]).toBeGreaterThan(0);
    redis.cli('REPLICAOF', 'NO', 'ONE');
  });

  it('take nothing that was not signed with their key', async () => {
    const [a] = [lone()];
    const stranger = lone({ key: newKey() });
    expect(await stranger.replicas.settled(SOON_MS)).toBe(true);
    await stranger.lockdown.lock({ group: '*', ...BY });
    const { token } = stranger.tokens.create({ group: 'agents' });
    await eventually(() => redis.cli('HLEN', 'sallyport:tokens') === '1', SOON_MS);
    redis.cli('HSET', 'sallyport:lockdown', 'agents', '9 {"group":"agents"}');
    redis.cli('HSET', 'sallyport:marks', 'lockdown', 'new');
    for (const kind of ['lockdown', 'tokens'])
      await eventually(() => a.log().includes(`"kind":"${kind}"`), SOON_MS);
    expect([a.tokens.verify(token), a.lockdown.denial('agents')]).toEqual([null, null]);
  });

  it('go on alone beside a wrong password, and beside what is no Redis', async () => {
    const liar = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    liar.listen(0, '127.0.0.1');
    await once(liar, 'listening');
    onTestFinished(() => void liar.close());
    const at = liar.address();
    const port = at !== null && typeof at !== 'string' ? at.port : 0;
    redis.cli('CONFIG', 'SET', 'requirepass', 'right');
    try {
      for (const one of [lone({ password: 'wrong' }), lone({ port })]) {
        expect(await take(one, 2)).toBe(0);
        expect(await take(one, 2)).toBeGreaterThan(0);
        await eventually(() => one.log().includes('nothing is shared'), SOON_MS);
        expect(one.log()).not.toContain('wrong"');
      }
      const right = lone({ password: 'right' });
      expect(await right.replicas.settled(SOON_MS)).toBe(true);
    } finally {
      redis.cli('-a', 'right', 'CONFIG', 'SET', 'requirepass', '');
    }
  });

  it('lock again what was locked when lockdown.json goes away', async () => {
    const [a, b] = await some(2);
    await a.lockdown.lock({ group: 'agents', ...BY });
    await eventually(() => b.lockdown.denial('agents'), SOON_MS);
    rmSync(path.join(a.dir, 'lockdown.json'));
    expect(await a.replicas.settled(SOON_MS)).toBe(true);
    expect(existsSync(path.join(a.dir, 'replicas.json'))).toBe(true);
    expect(b.lockdown.denial('agents')).not.toBeNull();
    await eventually(() => a.lockdown.denial('agents'), SOON_MS);
  });
});
