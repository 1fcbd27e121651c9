/** Every way in which Redis may fail its replicas: what holds meanwhile, and that all is shared again afterwards. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { describeWith } from '../helpers/programs.ts';
import { type RedisServer, redisServer, slowRelay } from '../helpers/redis.ts';
import { hold, type Machine, machine, machines, newKey, SOON_MS, spend, take } from '../helpers/replicas.ts';
import { listenOn } from '../helpers/upstream.ts';
import { eventually, upstreamAuthority, upstreamPair } from '../helpers/world.ts';

const KEY = newKey();
const BY = { by: 'ann', reason: 'incident 42' } as const;
const PASSWORD = 'open sesame';
const TRUSTED = { port: 0, key: KEY, password: PASSWORD } as const;

describeWith(['redis-server', 'redis-cli'], 'replicas whose Redis', () => {
  let redis: RedisServer;
  let tlsPort = 0;
  let dir = '';
  /** as someone who may do anything there */
  const run = (...words: string[]): string => redis.cli('-a', PASSWORD, ...words);
  beforeAll(async () => {
    dir = mkdtempSync(path.join(tmpdir(), 'sallyport-redis-tls-'));
    const { cert, key } = upstreamPair('localhost');
    for (const [name, text] of Object.entries({ cert, key, ca: upstreamAuthority().certPem }))
      writeFileSync(path.join(dir, name), text);
    tlsPort = await freePort();
    const tls = ['--tls-port', `${tlsPort}`, '--tls-auth-clients', 'no'];
    for (const name of ['cert', 'key', 'ca-cert'])
      tls.push(`--tls-${name}-file`, path.join(dir, name.replace('ca-cert', 'ca')));
    redis = await redisServer('--requirepass', PASSWORD, ...tls);
  });
  afterAll(async () => {
    await redis.remove();
    rmSync(dir, { recursive: true });
  });
  beforeEach(() => void run('FLUSHALL'));

  const two = async (answerMs = 100): Promise<[Machine, Machine]> => {
    const [a, b] = await machines(2, { ...TRUSTED, port: redis.port, answerMs });
    await eventually(
      () => a.replicas.view().seen.length === 2 && b.replicas.view().seen.length === 2,
      SOON_MS,
    );
    return [a, b];
  };
  /** Half of each limit, and no waiting for an answer but now and then. */
  const countsAlone = async (of: Machine): Promise<void> => {
    const before = performance.now();
    const waits = [await take(of, 4), await take(of, 4), await take(of, 4)];
    expect(waits.map((wait) => wait === 0)).toEqual([true, true, false]);
    expect([await hold(of, 4), await hold(of, 4), await hold(of, 4)]).toEqual([true, true, false]);
    expect(await spend(of, 60)).toBe(-10);
    // Seven answers: all but two or three at once, though each may wait 100 ms by itself.
    expect(performance.now() - before).toBeLessThan(5_000);
  };

  const TROUBLES: Record<string, { begin: () => void | Promise<void>; end: () => void | Promise<void> }> = {
    'is killed, and comes back empty': { begin: () => redis.kill(), end: () => redis.start() },
    'hangs (SIGSTOP)': { begin: () => redis.pause(), end: () => redis.goOn() },
    'takes no writes, as a read-only replica does': {
      begin: () => void run('REPLICAOF', '127.0.0.1', '1'),
      end: () => void run('REPLICAOF', 'NO', 'ONE'),
    },
    'is full (maxmemory, noeviction)': {
      begin: () => void run('CONFIG', 'SET', 'maxmemory', '100kb'),
      end: () => void run('CONFIG', 'SET', 'maxmemory', '0'),
    },
    'has another password now': {
      begin: () => {
        run('CONFIG', 'SET', 'requirepass', 'another');
        redis.cli('-a', 'another', 'CLIENT', 'KILL', 'TYPE', 'normal');
        redis.cli('-a', 'another', 'CLIENT', 'KILL', 'TYPE', 'pubsub');
      },
      end: () => void redis.cli('-a', 'another', 'CONFIG', 'SET', 'requirepass', PASSWORD),
    },
    'holds something else under our names': {
      begin: () => {
        for (const key of ['tokens', 'revoked', 'lockdown', 'marks', 'alive', 'replicas', 'rate:requests g'])
          run(
            'EVAL',
            "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 'a string')",
            '1',
            `sallyport:${key}`,
          );
        for (const key of ['budget:upload g', 'places:connections g'])
          run('SET', `sallyport:${key}`, 'a string');
      },
      end: () => void run('FLUSHALL'),
    },
  };

  describe.each(Object.entries(TROUBLES))('%s', (_title, { begin, end }) => {
    it('go on by what they know, open nothing, count by half, and share what was done meanwhile once it is over', async () => {
      const [a, b] = await two();
      const [kept, revoked, later] = [1, 2, 3].map(() => a.tokens.create({ group: 'agents' }));
      if (kept === undefined || revoked === undefined || later === undefined) throw new Error('none');
      a.tokens.revoke(revoked.record.id);
      await a.lockdown.lock({ group: 'locked', ...BY });
      const known = (of: Machine) => ({
        kept: of.tokens.verify(kept.token) !== null,
        revoked: of.tokens.verify(revoked.token) !== null,
        locked: of.lockdown.denial('locked') !== null,
        free: of.lockdown.denial('agents') === null,
      });
      const right = { kept: true, revoked: false, locked: true, free: true };
      await eventually(() => JSON.stringify(known(b)) === JSON.stringify(right), SOON_MS);
      await eventually(() => b.tokens.verify(later.token), SOON_MS);
      await begin();
      let over = false;
      try {
        await eventually(() => [a, b].every(({ replicas }) => !replicas.view().connected), SOON_MS);
        expect([known(a), known(b)]).toEqual([right, right]);
        await countsAlone(b);
        // Done meanwhile: good here, and there when Redis is back.
        const fresh = a.tokens.create({ group: 'agents' });
        a.tokens.revoke(later.record.id);
        await b.lockdown.lock({ group: 'meanwhile', ...BY });
        expect(a.tokens.verify(fresh.token)).not.toBeNull();
        expect(b.tokens.verify(fresh.token)).toBeNull();
        expect(a.log()).toContain('nothing is shared');
        expect(a.log() + b.log()).not.toContain(PASSWORD);
        await end();
        over = true;
        await eventually(
          () => b.tokens.verify(fresh.token) !== null && b.tokens.verify(later.token) === null,
          20_000,
        );
        await eventually(() => a.lockdown.denial('meanwhile') !== null, SOON_MS);
        expect([known(a), known(b)]).toEqual([right, right]);
        await eventually(() => [a, b].every(({ replicas }) => replicas.view().connected), SOON_MS);
      } finally {
        if (!over) await end();
      }
    }, 90_000);
  });

  it('is slow: requests do not wait for it, what is shared comes late and comes', async () => {
    const relay = await slowRelay(redis.port, 150);
    try {
      const [a] = await two();
      const far = machine({ ...TRUSTED, port: relay.port, answerMs: 100, name: 'far' });
      expect(await far.replicas.settled(20_000)).toBe(true);
      const before = performance.now();
      for (let asked = 0; asked < 50; asked += 1) await take(far, 1_000);
      // Each of the fifty would take 300 ms.
      expect(performance.now() - before).toBeLessThan(3_500);
      const { token, record } = a.tokens.create({ group: 'agents' });
      await eventually(() => far.tokens.verify(token), 20_000);
      a.tokens.revoke(record.id);
      await eventually(() => far.tokens.verify(token) === null, 20_000);
    } finally {
      await relay.close();
    }
  }, 90_000);

  it.each([
    ['says nothing', () => {}],
    ['speaks HTTP', (socket: net.Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    [
      'answers everything with nonsense',
      (socket: net.Socket) => void socket.on('data', () => socket.write(':1\r\n*-1\r\n$3\r\nfoo\r\n')),
    ],
    ['closes at once', (socket: net.Socket) => socket.destroy()],
  ])('is none, but something that %s: they go on alone', async (_title, behave) => {
    const sockets: net.Socket[] = [];
    const server = net.createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      behave(socket);
    });
    const port = await listenOn(server);
    onTestFinished(async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    });
    const one = machine({ ...TRUSTED, port, answerMs: 100 });
    await eventually(() => one.log().includes('nothing is shared'), SOON_MS);
    expect(one.replicas.view().connected).toBe(false);
    await countsAlone(one);
    const { token } = one.tokens.create({ group: 'agents' });
    expect(one.tokens.verify(token)).not.toBeNull();
    await one.replicas.close();
  });

  it('speaks TLS: over a certificate that tls.extra_ca vouches for, and over no other', async () => {
    const at = { ...TRUSTED, host: 'localhost', port: tlsPort };
    const right = machine({ ...at, ca: [upstreamAuthority().certPem] });
    expect(await right.replicas.settled(SOON_MS)).toBe(true);
    const wrong = machine({ ...at, ca: [] });
    await eventually(() => wrong.log().includes('nothing is shared'), SOON_MS);
    expect(wrong.log()).toMatch(/certificate/i);
    // The name of the certificate is not the address.
    const elsewhere = machine({ ...at, host: '127.0.0.1', ca: [upstreamAuthority().certPem] });
    await eventually(() => elsewhere.log().includes('nothing is shared'), SOON_MS);
    expect(wrong.replicas.view().connected || elsewhere.replicas.view().connected).toBe(false);
  });

  it('lets them do no more than they need, under an account of their own', async () => {
    run(
      'ACL',
      'SETUSER',
      'gate',
      'on',
      '>gate password',
      '~sallyport:*',
      '&sallyport:*',
      '-@all',
      ...COMMANDS,
    );
    const [a, b] = ['one', 'two'].map((name) =>
      machine({
        ...TRUSTED,
        port: redis.port,
        username: 'gate',
        password: 'gate password',
        name,
        answerMs: 2_000,
      }),
    );
    if (a === undefined || b === undefined) throw new Error('none');
    for (const { replicas } of [a, b]) expect(await replicas.settled(SOON_MS)).toBe(true);
    const { token } = a.tokens.create({ group: 'agents' });
    await eventually(() => b.tokens.verify(token), SOON_MS);
    expect([await take(a, 1), (await take(b, 1)) > 0]).toEqual([0, true]);
    expect(await hold(a, 1)).toBe(true);
    expect(await hold(b, 1)).toBe(false);
    expect(await spend(a, 100)).toBe(0);
    expect(a.log() + b.log()).not.toContain('nothing is shared');
  });

  it('was filled by strangers beyond what there can be: nothing of it is read', async () => {
    const [a, b] = await two();
    const fill = "for i = 1, ARGV[1] do redis.call('HSET', KEYS[1], 'x' .. i, string.rep('y', ARGV[2])) end";
    run('EVAL', fill, '1', 'sallyport:lockdown', '5000', '10');
    run('EVAL', fill, '1', 'sallyport:tokens', '9000', '4000');
    run('HSET', 'sallyport:marks', 'lockdown', 'new', 'tokens', 'new');
    await eventually(
      () => a.log().includes('more entries than') && a.log().includes('more bytes than'),
      SOON_MS,
    );
    expect(a.replicas.view().connected).toBe(false);
    expect([a.tokens.list(), a.lockdown.locks()]).toEqual([[], []]);
    // What is not filled goes on.
    expect(b.replicas.view().seen).toHaveLength(2);
  });
});

/** What README.md says an account needs. */
const COMMANDS = /`(-@all [^`]+)`/.exec(readFileSync('README.md', 'utf8'))?.[1]?.split(' ') ?? [];
