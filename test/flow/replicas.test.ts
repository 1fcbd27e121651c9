/** What replicas share through a real Redis: tokens, revocations, lockdown, limits; and what holds while it is away. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { openTokenStore, type TokenStore } from '../../src/identify/token.ts';
import { openReplicas, type Replicas } from '../../src/replicas.ts';
import type { LockdownStore } from '../../src/state/lockdown.ts';
import { openLockdown } from '../../src/state/lockdown-file.ts';
import { describeWith } from '../helpers/programs.ts';
import { type RedisServer, redisServer } from '../helpers/redis.ts';
import { eventually } from '../helpers/world.ts';

type Machine = {
  readonly dir: string;
  readonly replicas: Replicas;
  readonly tokens: TokenStore;
  readonly lockdown: LockdownStore;
  readonly log: () => string;
};

const KEY = randomBytes(32);
const BY = { by: 'ann', reason: 'incident 42' } as const;
/** The contract's second, and room for a machine that does other things beside this test. */
const SOON_MS = 8_000;
const PATIENT_MS = 2_000;

describeWith(['redis-server', 'redis-cli'], 'replicas', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await redisServer();
  });
  afterAll(() => redis.remove());
  beforeEach(() => void redis.cli('FLUSHALL'));

  const machine = (
    more: { key?: Buffer; port?: number; password?: string; answerMs?: number; dir?: string } = {},
  ): Machine => {
    const dir = more.dir ?? mkdtempSync(path.join(tmpdir(), 'sallyport-replica-'));
    const stream = new PassThrough();
    let logged = '';
    stream.on('data', (bytes: Buffer) => {
      logged += bytes.toString();
    });
    const place = {
      host: '127.0.0.1',
      port: more.port ?? redis.port,
      db: 0,
      username: undefined,
      password: more.password,
      ca: null,
    };
    const { key = KEY, answerMs = PATIENT_MS } = more;
    const replicas = openReplicas({
      place,
      key,
      dir,
      clock: systemClock,
      log: createLog({ stream }),
      answerMs,
    });
    const tokens = openTokenStore({ dir, clock: systemClock, watch: true });
    const lockdown = openLockdown({ dir, clock: systemClock, watch: true });
    onTestFinished(() => {
      replicas.close();
      tokens.close();
      lockdown.close();
      rmSync(dir, { recursive: true, force: true });
    });
    return { dir, replicas, tokens, lockdown, log: () => logged };
  };
  const machines = async (count: number): Promise<[Machine, ...Machine[]]> => {
    const all = Array.from({ length: count }, () => machine());
    for (const { replicas } of all) await replicas.settled(SOON_MS);
    const [first, ...others] = all;
    if (first === undefined) throw new Error('none');
    return [first, ...others];
  };
  const take = (of: Machine, amount: number): Promise<number> =>
    new Promise((resolve) => {
      of.replicas.store.take({ key: 'requests g', rate: { amount, perMs: 3_600_000 }, amount: 1 }, resolve);
    });
  const hold = (of: Machine, max: number): Promise<boolean> =>
    new Promise((resolve) => {
      of.replicas.store.hold({ key: 'connections g', max }, resolve);
    });
  const spend = (of: Machine, amount: number): Promise<number> =>
    new Promise((resolve) => {
      of.replicas.store.spend(
        { key: 'upload g', budget: { amount: 100, perMs: 86_400_000 }, amount },
        resolve,
      );
    });

  it('know each other’s tokens, and revoke them everywhere', async () => {
    const [a, b, c] = await machines(3);
    const { token, record } = a.tokens.create({ group: 'agents' });
    for (const other of [b, c]) await eventually(() => other?.tokens.verify(token), SOON_MS);
    expect(b?.tokens.list()).toMatchObject([{ id: record.id, group: 'agents' }]);
    expect(c?.tokens.revoke(record.id)).toBe(true);
    for (const other of [a, b]) await eventually(() => other?.tokens.valid(record.id) === false, SOON_MS);
    expect(redis.cli('HGETALL', 'sallyport:tokens')).not.toContain(token.slice(-43));
  });

  it('lock and unlock together, and the later of the two counts', async () => {
    const [a, b, c] = await machines(3);
    await a.lockdown.lock({ group: 'agents', ...BY });
    for (const other of [b, c]) await eventually(() => other?.lockdown.denial('agents'), SOON_MS);
    expect(b?.lockdown.locks()).toMatchObject([{ group: 'agents', ...BY }]);
    expect(b?.lockdown.denial('others')).toBeNull();
    await b?.lockdown.unlock('agents');
    for (const other of [a, c]) await eventually(() => other?.lockdown.denial('agents') === null, SOON_MS);
    await c?.lockdown.lock({ group: '*', ...BY });
    for (const other of [a, b]) await eventually(() => other?.lockdown.denial('others'), SOON_MS);
    expect(a.log()).toContain('locked at another replica');
  });

  it('keep a file that somebody touches, and one that is damaged, to the machine where it is', async () => {
    const [a, b] = await machines(2);
    await a.lockdown.lock({ group: 'agents', ...BY });
    await eventually(() => b?.lockdown.denial('agents'), SOON_MS);
    writeFileSync(path.join(a.dir, 'lockdown.json'), 'no JSON');
    await eventually(() => a.lockdown.denial('others'), SOON_MS);
    expect(await a.replicas.settled(SOON_MS)).toBe(true);
    expect(await b?.replicas.settled(SOON_MS)).toBe(true);
    expect(b?.lockdown.denial('others')).toBeNull();
    expect(b?.lockdown.denial('agents')).not.toBeNull();
  });

  it('count rates, budgets and places together', async () => {
    const [a, b] = await machines(2);
    if (b === undefined) throw new Error('none');
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
    const [a, b] = await machines(2);
    const { token, record } = a.tokens.create({ group: 'agents' });
    const { record: gone } = a.tokens.create({ group: 'agents' });
    await eventually(() => b?.tokens.valid(gone.id) && b.tokens.valid(record.id), SOON_MS);
    await redis.kill();
    a.tokens.revoke(gone.id);
    await b?.lockdown.lock({ group: 'agents', ...BY });
    expect(a.tokens.verify(token)?.id).toBe(record.id);
    expect(b?.tokens.verify(token)?.id).toBe(record.id);
    await eventually(() => a.log().includes('nothing is shared'), SOON_MS);
    await redis.start();
    await eventually(() => b?.tokens.valid(gone.id) === false, SOON_MS);
    await eventually(() => a.lockdown.denial('agents'), SOON_MS);
    const late = machine();
    await eventually(() => late.lockdown.denial('agents') !== null && late.tokens.verify(token), SOON_MS);
    expect(late.tokens.valid(gone.id)).toBe(false);
  });

  it('answer by half of each limit, in time, while Redis is paused, killed or read-only', async () => {
    const paused = machine({ answerMs: 300 });
    expect(await paused.replicas.settled(SOON_MS)).toBe(true);
    redis.pause();
    try {
      const before = performance.now();
      const waits = [await take(paused, 4), await take(paused, 4), await take(paused, 4)];
      expect(waits.map((wait) => wait === 0)).toEqual([true, true, false]);
      expect([await hold(paused, 4), await hold(paused, 4), await hold(paused, 4)]).toEqual([
        true,
        true,
        false,
      ]);
      expect(await spend(paused, 60)).toBe(-10);
      // Not each of them waits: after the first, Redis is left alone for a second.
      expect(performance.now() - before).toBeLessThan(1_700);
    } finally {
      redis.goOn();
    }
    redis.cli('REPLICAOF', '127.0.0.1', '1');
    const readOnly = machine();
    const waits = [await take(readOnly, 2), await take(readOnly, 2)];
    expect(waits[0]).toBe(0);
    expect(waits[1]).toBeGreaterThan(0);
    redis.cli('REPLICAOF', 'NO', 'ONE');
  });

  it('take nothing that was not signed with their key', async () => {
    const [a] = await machines(1);
    const stranger = machine({ key: randomBytes(32) });
    expect(await stranger.replicas.settled(SOON_MS)).toBe(true);
    await stranger.lockdown.lock({ group: '*', ...BY });
    const { token } = stranger.tokens.create({ group: 'agents' });
    await eventually(() => redis.cli('HLEN', 'sallyport:tokens') === '1', SOON_MS);
    redis.cli('HSET', 'sallyport:lockdown', 'agents', '9 {"group":"agents"}');
    await eventually(() => a.log().includes('no replica signed'), SOON_MS);
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
      for (const one of [machine({ password: 'wrong' }), machine({ port })]) {
        expect(await take(one, 2)).toBe(0);
        expect(await take(one, 2)).toBeGreaterThan(0);
        await eventually(() => one.log().includes('nothing is shared'), SOON_MS);
        expect(one.log()).not.toContain('wrong"');
      }
      const right = machine({ password: 'right' });
      expect(await right.replicas.settled(SOON_MS)).toBe(true);
    } finally {
      redis.cli('-a', 'right', 'CONFIG', 'SET', 'requirepass', '');
    }
  });

  it('lock again what was locked when lockdown.json goes away', async () => {
    const [a, b] = await machines(2);
    await a.lockdown.lock({ group: 'agents', ...BY });
    await eventually(() => b?.lockdown.denial('agents'), SOON_MS);
    rmSync(path.join(a.dir, 'lockdown.json'));
    expect(await a.replicas.settled(SOON_MS)).toBe(true);
    expect(existsSync(path.join(a.dir, 'replicas.json'))).toBe(true);
    expect(b?.lockdown.denial('agents')).not.toBeNull();
    await eventually(() => a.lockdown.denial('agents'), SOON_MS);
  });
});
