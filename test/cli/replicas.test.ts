/** Three `start`s with one Redis, as real processes, two of them with two workers. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { type RedisServer, redisServer } from '../helpers/redis.ts';
import { policy, tunnelled } from '../helpers/scene.ts';
import { askOnce, connect, type Talk, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { installation } from './main-harness.ts';
import { type Running, startProcess } from './process-harness.ts';

const LIMIT_MS = 60_000;
/** Of anything that is waited for: others use the machine. */
const SOON_MS = 30_000;
const AGENT = { localAddress: '127.0.0.2' };
const KEY = randomBytes(32).toString('base64');

describeWith(['redis-server', 'redis-cli'], 'replicas', () => {
  let redis: RedisServer;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let web: Upstream;
  beforeAll(async () => {
    redis = await redisServer('--requirepass', 'open sesame');
    raw = await rawUpstream((socket) => socket.pipe(socket));
    web = await httpUpstream({ answer: (_request, response) => response.end('done') });
  });
  afterAll(async () => {
    await redis.remove();
    await raw.close();
    await web.close();
  });

  const env = { SALLYPORT_REDIS_PASSWORD: 'open sesame', SALLYPORT_REDIS_KEY: KEY };
  const settings = (
    workers: number,
  ): string => `proxy: { listen: "127.0.0.1:0", workers: ${workers}, drain: 1s }
admin: { listen: "127.0.0.1:0" }
state: { redis: "redis://127.0.0.1:${redis.port}/1" }
dns: { hosts: { "raw.test": [127.0.0.1], "web.test": [127.0.0.1] } }
`;
  const start = async (workers: number): Promise<Running> => {
    const rules = [
      tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
      `allow: "web.test:${web.port}", addresses: [127.0.0.0/8]`,
    ];
    const limited = policy(rules, { sources: '127.0.0.2/32', more: 'limits: { requests: 15/h }' });
    const tokens = policy(rules, { group: 'bots' }).replace(
      /^identify:.*$/m,
      'identify: { token: required }',
    );
    const running = await startProcess({
      policies: { 'agents.yaml': limited, 'bots.yaml': tokens },
      settings: settings(workers),
      env,
    });
    onTestFinished(() => running.remove());
    return running;
  };

  /** Three replicas with one policy; and its record tells of the lock that was made at another. */
  const seesAll = async (one: Running): Promise<void> => {
    await eventually(async () => {
      const { body } = await one.admin('GET', '/api/v1/status');
      const { replicas } = body as { replicas: { policies: number; seen: { policies: string[] }[] } };
      return (
        replicas.seen.length === 3 &&
        replicas.policies === 1 &&
        replicas.seen.every((each) => each.policies[0])
      );
    }, SOON_MS);
    const { body: metrics } = await one.admin('GET', '/metrics');
    expect(metrics).toMatch(/^sallyport_replicas 3$/m);
    await eventually(
      () =>
        one
          .records()
          .some(
            (record) =>
              record['action'] === 'lockdown.on' && record['origin'] === 'replica' && record['replica'],
          ),
      SOON_MS,
    );
  };

  it('cut each other’s tunnels, know each other’s tokens and count one limit', {
    timeout: LIMIT_MS * 4,
  }, async () => {
    const [a, b, c] = [await start(1), await start(2), await start(2)];
    const made = await a.home.run(['token', 'create', '--group', 'bots', '--json']);
    const { token, id } = JSON.parse(made.out) as { token: string; id: string };
    const headers = `Proxy-Authorization: Bearer ${token}\r\n`;
    const at = `raw.test:${raw.port}`;
    const others = [b, c];
    for (const { port } of others)
      await eventually(async () => (await tryConnect(port, at, { headers })).answer.status === 200, SOON_MS);
    // Several at each, so that each worker has some.
    const open = (more: object): Promise<Talk[]> =>
      Promise.all(others.flatMap(({ port }) => Array.from({ length: 6 }, () => connect(port, at, more))));
    const cut = (await open({ headers })).map((tunnel) => tunnel.over(SOON_MS));
    expect((await a.home.run(['token', 'revoke', id])).status).toBe(0);
    await Promise.all(cut);
    for (const { port } of others)
      await eventually(async () => (await tryConnect(port, at, { headers })).answer.status === 407, SOON_MS);

    const ended = (await open(AGENT)).map((tunnel) => tunnel.over(SOON_MS));
    const get = `GET http://web.test:${web.port}/ HTTP/1.1\r\nHost: web.test:${web.port}\r\nConnection: close\r\n\r\n`;
    const statuses: number[] = [];
    for (const { port } of [a, b, c]) statuses.push((await askOnce(port, get, AGENT)).status);
    expect(statuses).toEqual([200, 200, 200]);
    // One that waits too long for Redis counts by half of the limit for a moment; by itself it would let fifteen through.
    for (let tries = 0; tries < 10 && statuses.at(-1) !== 429; tries += 1)
      statuses.push((await askOnce(a.port, get, AGENT)).status);
    expect(statuses.at(-1)).toBe(429);

    const lock = { on: true, group: '*', reason: 'incident 42' };
    expect((await a.admin('PUT', '/api/v1/lockdown', lock)).status).toBe(200);
    await Promise.all(ended);
    for (const one of others) await seesAll(one);
    await redis.kill();
    for (const { port } of others)
      expect((await tryConnect(port, at, AGENT)).answer.head).toContain('locked_down');
    await eventually(async () => {
      const { body } = await b.admin('GET', '/readyz');
      return JSON.stringify(body).includes('Redis is away');
    }, SOON_MS);
  });

  it('start without Redis only where they have heard of the others before', async () => {
    const home = installation({
      policies: { 'agents.yaml': policy([]) },
      settings: settings(1).replace(/:\d+\/1/, ':1/1'),
    });
    onTestFinished(() => home.remove());
    const unheard = await home.run(['start'], { env });
    expect(unheard.status).toBe(1);
    expect(unheard.err).toContain('never heard');
    const keyless = await home.run(['start'], { env: {} });
    expect(keyless.status).toBe(1);
    expect(keyless.err).toContain('SALLYPORT_REDIS_KEY');
  });
});
