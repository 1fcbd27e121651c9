/** Calls that wait in a worker of one replica and are decided at another one, as real processes with two workers each. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { TOTP, URI } from 'otpauth';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { describeWith } from '../helpers/programs.ts';
import { type RedisServer, redisServer } from '../helpers/redis.ts';
import { policy } from '../helpers/scene.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { type Running, startProcess } from './process-harness.ts';

/** Of anything that is waited for: others use the machine. */
const SOON_MS = 30_000;
const lists = z.object({
  approvals: z.array(
    z.looseObject({ id: z.string(), method: z.string(), path: z.string(), waiting: z.number() }),
  ),
});
type Shown = z.infer<typeof lists>['approvals'][number];
/** How a curl ended: status, head and body in one text; `status` 0: it was killed. */
type Ended = { readonly status: number; readonly said: string };
type Curl = { readonly child: ChildProcess; readonly ended: Promise<Ended> };

describeWith(['redis-server', 'redis-cli', 'curl'], 'a call that waits at another replica', () => {
  let redis: RedisServer;
  let web: Upstream;
  let a: Running;
  let b: Running;
  beforeAll(async () => {
    redis = await redisServer();
    web = await httpUpstream();
    [a, b] = await Promise.all([start(), start()]);
    for (const one of [a, b]) await eventually(() => sees(one, 2), SOON_MS);
  }, 3 * SOON_MS);
  afterAll(async () => {
    await Promise.all([a.remove(), b.remove()]);
    await redis.remove();
    await web.close();
  });

  const key = randomBytes(32).toString('base64');
  const start = (): Promise<Running> => {
    const rule = (method: string, more: string): string =>
      `approve: "pay.test:${web.port}", methods: [${method}], addresses: [127.0.0.0/8], ${more}`;
    return startProcess({
      policies: {
        'agents.yaml': policy([
          rule('POST', 'wait: 5m'),
          rule('PUT', 'wait: 5m, remember: 10m'),
          rule('PATCH', 'wait: 2s'),
          rule('DELETE', 'wait: 5m, second_factor: true'),
        ]),
      },
      settings: `proxy: { listen: "127.0.0.1:0", workers: 2, drain: 1s }
admin: { listen: "127.0.0.1:0" }
state: { redis: "redis://127.0.0.1:${redis.port}" }
dns: { hosts: { "pay.test": [127.0.0.1] } }
`,
      env: { SALLYPORT_REDIS_KEY: key },
    });
  };
  const sees = async (one: Running, replicas: number): Promise<boolean> => {
    const { body } = await one.admin('GET', '/api/v1/status');
    return (body as { replicas: { seen: unknown[] } }).replicas.seen.length === replicas;
  };

  /** The sandbox of a replica asks, and waits. */
  const curl = (of: Running, method: string, path: string): Curl => {
    const to = ['-x', `http://127.0.0.1:${of.port}`, `http://pay.test:${web.port}${path}`];
    const child = spawn('curl', ['-sSi', '-m', '120', '-X', method, '--data', 'x', ...to]);
    const ended = text(child.stdout).then((said) => ({
      status: Number(/^HTTP\/1\.1 (\d{3})/.exec(said)?.[1] ?? 0),
      said,
    }));
    return { child, ended };
  };
  const waiting = (at: Running, path: string, count = 1): Promise<Shown> =>
    eventually(async () => {
      const { approvals } = lists.parse((await at.admin('GET', '/api/v1/approvals')).body);
      return approvals.find((one) => one.path === path && one.waiting === count);
    }, SOON_MS);
  const nothingWaits = (at: Running): Promise<boolean> =>
    eventually(
      async () => lists.parse((await at.admin('GET', '/api/v1/approvals')).body).approvals.length === 0,
      SOON_MS,
    );
  /** Asked again where a busy machine did not answer in time, as a person would. */
  const decide = (at: Running, id: string, more: object = {}) =>
    eventually(async () => {
      const answer = await at.admin('POST', `/api/v1/approvals/${id}`, { decision: 'allow', ...more });
      return answer.status !== 503 && answer;
    }, SOON_MS);

  it('is one entry however many workers hold it, and goes on after a yes there', async () => {
    const curls = Array.from({ length: 6 }, () => curl(a, 'POST', '/charge'));
    const { id } = await waiting(b, '/charge', curls.length);
    expect(web.seen).toEqual([]);
    expect(await decide(b, id)).toMatchObject({ status: 200, body: { released: curls.length } });
    for (const { ended } of curls) expect((await ended).status).toBe(200);
    expect(web.seen.filter(({ url }) => url === '/charge')).toHaveLength(curls.length);
    const decisions = await eventually(() => {
      const all = a.records().filter(({ kind, path }) => kind === 'decision' && path === '/charge');
      return all.length === curls.length && all;
    }, SOON_MS);
    for (const one of decisions) expect(one).toMatchObject({ verdict: 'approve', approval: { by: 'admin' } });
    expect(await decide(a, id)).toMatchObject({ status: 409 });
  });

  it('is told the reason of a no there', async () => {
    const { ended } = curl(a, 'POST', '/refund');
    const { id } = await waiting(b, '/refund');
    expect(await decide(b, id, { decision: 'deny', reason: 'not today' })).toMatchObject({ status: 200 });
    const { status, said } = await ended;
    expect(status).toBe(403);
    expect(said).toContain('approval_denied');
    expect(said).toContain('not today');
  });

  it('is given up when its time is over, and an answer there is late', async () => {
    const { ended } = curl(a, 'PATCH', '/slow');
    const { id } = await waiting(b, '/slow');
    const { status, said } = await ended;
    expect(status).toBe(403);
    expect(said).toContain('approval_timeout');
    expect(said).toMatch(/^retry-after: \d+/im);
    expect(await decide(b, id)).toMatchObject({ status: 410, body: { how: 'timeout' } });
  });

  it('is withdrawn when its client leaves, and an answer there is late', async () => {
    const { child, ended } = curl(a, 'POST', '/left');
    const { id } = await waiting(b, '/left');
    child.kill('SIGKILL');
    expect((await ended).status).toBe(0);
    await nothingWaits(b);
    expect(await decide(b, id)).toMatchObject({ status: 410, body: { how: 'withdrawn' } });
  });

  it('ends when it is locked down there', async () => {
    const { ended } = curl(a, 'POST', '/locked');
    const { id } = await waiting(b, '/locked');
    expect((await b.admin('PUT', '/api/v1/lockdown', { on: true, reason: 'drill' })).status).toBe(200);
    const { status, said } = await ended;
    expect(status).toBe(503);
    expect(said).toContain('locked_down');
    await nothingWaits(b);
    expect(await decide(b, id)).toMatchObject({ status: 410 });
    expect((await b.admin('PUT', '/api/v1/lockdown', { on: false, reason: 'over' })).status).toBe(200);
    await eventually(async () => {
      const { body } = await a.admin('GET', '/api/v1/lockdown');
      return (body as { locks: unknown[] }).locks.length === 0;
    }, SOON_MS);
  });

  it('is shown there though a worker beside the one that holds it hangs', async () => {
    const curls: Curl[] = [];
    const workers = async (): Promise<{ pid: number; open_connections: number }[]> => {
      const { body } = await a.admin('GET', '/api/v1/status');
      return (body as { workers: { pid: number; open_connections: number }[] }).workers;
    };
    const [one] = await eventually(async () => {
      curls.push(curl(a, 'POST', '/beside'));
      await waiting(b, '/beside', curls.length);
      const seen = await workers();
      return seen.every(({ open_connections }) => open_connections > 0) && seen;
    }, SOON_MS);
    const held = one?.open_connections ?? 0;
    const { id } = await waiting(b, '/beside', curls.length);
    process.kill(one?.pid ?? 0, 'SIGSTOP');
    try {
      await waiting(b, '/beside', curls.length - held);
    } finally {
      process.kill(one?.pid ?? 0, 'SIGCONT');
    }
    await waiting(b, '/beside', curls.length);
    expect((await decide(b, id)).status).toBe(200);
    for (const { ended } of curls) expect((await ended).status).toBe(200);
  });

  it('needs no second yes where the first is to be remembered, at whatever moment it comes', async () => {
    const first = curl(a, 'PUT', '/moment');
    const { id } = await waiting(b, '/moment');
    const more = [a, b, a, b, a].map((at) => curl(at, 'PUT', '/moment'));
    expect((await decide(b, id)).status).toBe(200);
    for (const { ended } of [first, ...more]) expect((await ended).status).toBe(200);
  });

  it('is allowed at one replica alone with a one-time code that comes to both at once', async () => {
    const enrolled = await a.home.run(['operator', 'totp', 'admin']);
    const app = URI.parse(/otpauth:\S+/.exec(enrolled.out)?.[0] ?? '');
    if (!(app instanceof TOTP)) throw new Error('not by time');
    const file = join(b.home.dir, '.sallyport', 'operators.json');
    await eventually(() => {
      try {
        return readFileSync(file, 'utf8').includes(app.secret.base32);
      } catch {
        return false; // not there yet
      }
    }, SOON_MS);
    const curls = [curl(a, 'DELETE', '/one'), curl(a, 'DELETE', '/two')];
    const [one, two] = [await waiting(b, '/one'), await waiting(b, '/two')];
    expect(await decide(b, one.id)).toMatchObject({ status: 403 });
    const code = app.generate();
    const answers = await Promise.all([decide(a, one.id, { code }), decide(b, two.id, { code })]);
    expect(answers.map(({ status }) => status).sort((one, two) => one - two)).toEqual([200, 403]);
    const still = answers[0].status === 200 ? two : one;
    expect((await decide(a, still.id, { decision: 'deny' })).status).toBe(200);
    const ends = await Promise.all(curls.map(({ ended }) => ended));
    expect(ends.map(({ status }) => status).sort((one, two) => one - two)).toEqual([200, 403]);
  });
});
