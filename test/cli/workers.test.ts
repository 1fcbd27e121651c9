/** `start` with several workers, as real processes: one proxy to whoever uses it, also when a part of it dies. */
import { readdirSync, writeFileSync } from 'node:fs';
import type http from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { policy, tunnelled } from '../helpers/scene.ts';
import { askOnce, connect, open, type Talk, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { alive, type Running, startProcess } from './process-harness.ts';

/** Of anything that is waited for: others use the machine. */
const LIMIT_MS = 60_000;
/** A start, and some waits. */
const TEST_MS = 4 * LIMIT_MS;
const settings = (drain: string): string => `proxy: { listen: "127.0.0.1:0", workers: 2, drain: ${drain} }
admin: { listen: "127.0.0.1:0" }
dns: { hosts: { "raw.test": [127.0.0.1], "web.test": [127.0.0.1] } }
`;

type WorkerSeen = { worker: number; pid: number; state: string; restarts: number; policy: string };

describe('two workers', () => {
  const responses: http.ServerResponse[] = [];
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let web: Upstream;
  let running: Running;

  beforeAll(async () => {
    raw = await rawUpstream((socket) => socket.pipe(socket));
    web = await httpUpstream({
      answer: (request, response) => {
        if (request.url === '/slow') responses.push(response);
        else response.end('done');
      },
    });
  });
  afterEach(() => running.remove());
  afterAll(async () => {
    await raw.close();
    await web.close();
  });

  const rules = (): string[] => [
    tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
    `allow: "web.test:${web.port}", addresses: [127.0.0.0/8]`,
  ];
  const start = async (drain = '10m', more = ''): Promise<Running> => {
    const policies = { 'agents.yaml': policy(rules(), { more }) };
    running = await startProcess({ policies, settings: settings(drain) });
    return running;
  };
  const get = (path: string): string =>
    `GET http://web.test:${web.port}${path} HTTP/1.1\r\nHost: web.test:${web.port}\r\n\r\n`;
  const workers = async (): Promise<WorkerSeen[]> => {
    const { body } = await running.admin('GET', '/api/v1/status');
    const { workers: seen } = body as { workers: WorkerSeen[] };
    return seen;
  };
  /** Open tunnels until each worker has one; the kernel shares connections out by their ports. */
  const tunnelsOnBoth = async (): Promise<Talk[]> => {
    const tunnels: Talk[] = [];
    await eventually(async () => {
      tunnels.push(await connect(running.port, `raw.test:${raw.port}`));
      const { body } = await running.admin('GET', '/api/v1/status');
      const { workers: seen } = body as { workers: { open_connections: number }[] };
      return seen.every(({ open_connections }) => open_connections > 0);
    }, LIMIT_MS);
    return tunnels;
  };
  const verified = async (): Promise<void> => {
    const { status, err } = await running.home.run(['audit', 'verify']);
    expect(err).toBe('');
    expect(status).toBe(0);
  };

  it(
    'both serve, and show as one proxy',
    async () => {
      const { admin, port, home } = await start();
      const tunnels = await tunnelsOnBoth();
      expect((await admin('GET', '/readyz')).status).toBe(200);
      const [one, two] = await workers();
      expect([one?.state, two?.state, one?.policy]).toEqual(['ready', 'ready', two?.policy]);
      const flows = await admin('GET', '/api/v1/flows');
      expect((flows.body as { flows: unknown[] }).flows).toHaveLength(tunnels.length);
      const groups = await admin('GET', '/api/v1/groups');
      expect(groups.body).toMatchObject({ groups: [{ group: 'agents', open_connections: tunnels.length }] });
      expect((await askOnce(port, get('/'))).status).toBe(200);
      expect((await admin('POST', '/api/v1/reload')).status).toBe(200);
      const { body } = await admin('GET', '/metrics');
      // The supervising process has numbers of its own, and none that it cannot know.
      expect(body).toMatch(/^sallyport_workers\{state="ready"\} 2$/m);
      expect(body).toMatch(/^sallyport_workers\{state="missing"\} 0$/m);
      expect(body).toMatch(/^sallyport_operator_actions_total\{action="reload",outcome="done"\} 1$/m);
      expect(body).toMatch(/^sallyport_policy_last_reload_successful 1$/m);
      expect(body).toMatch(/^sallyport_ca_not_after_timestamp_seconds [1-9]\d{9}$/m);
      expect(body).toMatch(
        new RegExp(`^sallyport_open_connections\\{group="agents",treat="tunnel"\\} ${tunnels.length}$`, 'm'),
      );
      expect(body).toMatch(/^sallyport_request_duration_seconds_count\{group="agents",treat="plain"\} 1$/m);
      expect(body).toMatch(/^sallyport_policy_info\{.*\} 1$/m);
      expect(readdirSync(join(home.dir, '.sallyport', 'audit'))).toEqual(
        expect.arrayContaining(['chains.json', 'worker-1', 'worker-2']),
      );
      for (const tunnel of tunnels) tunnel.destroy();
      await verified();
    },
    TEST_MS,
  );

  it(
    'one that is killed under load is replaced; each of its decisions has one end; counters do not fall',
    async () => {
      const { admin, records } = await start();
      await tunnelsOnBoth();
      const before = await workers();
      const victim = before[0];
      if (victim === undefined) throw new Error('no worker');
      const count = async (): Promise<number> => {
        const { body } = await admin('GET', '/metrics');
        return Number(/^sallyport_audit_records_total (\d+)$/m.exec(String(body))?.[1]);
      };
      const counted = await count();
      process.kill(victim.pid, 'SIGKILL');
      const after = await eventually(async () => {
        const seen = await workers();
        const ready = seen.every(({ state }) => state === 'ready') && seen[0]?.pid !== victim.pid;
        return ready && seen;
      }, LIMIT_MS);
      expect(after.map(({ restarts }) => restarts)).toEqual([1, 0]);
      expect(after[1]?.pid).toBe(before[1]?.pid);
      await eventually(() => records().some((one) => one['ended'] === 'crash'));
      expect(await count()).toBeGreaterThan(counted);
      expect((await admin('GET', '/readyz')).status).toBe(200);
      running.child.kill('SIGTERM');
      running.child.kill('SIGINT');
      expect(await running.gone).toEqual([0, null]);
      const all = records();
      const idOf = (one: Record<string, unknown>): string =>
        `${String(one['stage'])} ${String(one['request_id'])}`;
      const decided = all.filter((one) => one['kind'] === 'decision').map(idOf);
      const ended = all.filter((one) => one['kind'] === 'end').map(idOf);
      expect(decided.length).toBeGreaterThan(1);
      expect(ended.sort()).toEqual(decided.sort());
      await verified();
    },
    TEST_MS,
  );

  it(
    'get one outcome of a reload: a bad policy nowhere, a good one everywhere, and its losers cut',
    async () => {
      const { admin, home, port } = await start();
      const tunnels = await tunnelsOnBoth();
      const [one] = await workers();
      const file = join(home.dir, 'policies', 'agents.yaml');
      writeFileSync(file, 'version: 1\ngroup: agents\nrulez: []\n');
      expect(await admin('POST', '/api/v1/reload')).toMatchObject({ status: 422, body: { problems: [{}] } });
      expect((await workers()).map((seen) => seen.policy)).toEqual([one?.policy, one?.policy]);
      writeFileSync(file, policy([`allow: "web.test:${web.port}", addresses: [127.0.0.0/8]`]));
      const reloaded = await admin('POST', '/api/v1/reload');
      const { policy: hash } = reloaded.body as { policy: string };
      expect(reloaded.status).toBe(200);
      expect(hash).not.toBe(one?.policy);
      expect((await workers()).map((seen) => seen.policy)).toEqual([hash, hash]);
      await Promise.all(tunnels.map((tunnel) => tunnel.over(LIMIT_MS)));
      expect(
        (await askOnce(port, `CONNECT raw.test:${raw.port} HTTP/1.1\r\nHost: raw.test:${raw.port}\r\n\r\n`))
          .status,
      ).toBe(403);
    },
    TEST_MS,
  );

  it(
    'keep one limit, and have the places back that a dead one held',
    async () => {
      const { port } = await start('10m', 'limits: { connections: 3 }\n');
      const at = `raw.test:${raw.port}`;
      const placesTaken = (count: number): Promise<true> =>
        eventually(async () => {
          const { body } = await running.admin('GET', '/api/v1/status');
          return (body as { open_connections: number }).open_connections === count;
        }, LIMIT_MS);
      // One is given back a moment after its connection is closed, or its worker is dead.
      const placed = (): Promise<Talk> =>
        eventually(async () => {
          const { client, answer } = await tryConnect(port, at);
          if (answer.status === 200) return client;
          client.destroy();
          return false;
        }, LIMIT_MS);
      // Until each has one of the places, and one is left.
      const spread = await eventually(async () => {
        const pair = [await placed(), await placed()];
        const { body } = await running.admin('GET', '/api/v1/status');
        const { workers: seen } = body as { workers: { open_connections: number }[] };
        if (seen.every(({ open_connections }) => open_connections === 1)) return pair;
        for (const one of pair) one.destroy();
        await placesTaken(0);
        return false;
      }, LIMIT_MS);
      const third = await placed();
      // A worker that waits too long for an answer counts by itself for a moment.
      await eventually(async () => {
        const fourth = await tryConnect(port, at);
        fourth.client.destroy();
        await placesTaken(3);
        return fourth.answer.status === 429;
      });
      const [first] = await workers();
      const { body } = await running.admin('GET', '/api/v1/flows');
      expect((body as { flows: unknown[] }).flows).toHaveLength(3);
      process.kill(first?.pid ?? 0, 'SIGKILL');
      const again = await placed();
      for (const one of [...spread, third, again]) one.destroy();
    },
    TEST_MS,
  );

  it(
    'both cut what a revoked token has open',
    async () => {
      const { home, port } = await start();
      const made = await home.run(['token', 'create', '--group', 'agents', '--json']);
      const { id, token } = JSON.parse(made.out) as { id: string; token: string };
      const headers = `Proxy-Authorization: Bearer ${token}\r\n`;
      const tunnels: Talk[] = [];
      await eventually(async () => {
        const tunnel = await connect(port, `raw.test:${raw.port}`, { headers }).catch(() => null);
        if (tunnel !== null) tunnels.push(tunnel);
        const { body } = await running.admin('GET', '/api/v1/status');
        const { workers: seen } = body as { workers: { open_connections: number }[] };
        return seen.every(({ open_connections }) => open_connections > 0);
      }, LIMIT_MS);
      expect((await home.run(['token', 'revoke', id])).status).toBe(0);
      await Promise.all(tunnels.map((tunnel) => tunnel.over(LIMIT_MS)));
    },
    TEST_MS,
  );

  it(
    'drain together at SIGTERM, and no process is left',
    async () => {
      const { child, gone, port, admin } = await start();
      const pids = (await workers()).map(({ pid }) => pid);
      const [idle, busy] = [await open(port), await open(port)];
      busy.write(get('/slow'));
      const response = await eventually(() => responses.at(-1));
      child.kill('SIGTERM');
      await idle.over();
      // The other worker may still be about to close its door.
      await eventually(() =>
        open(port).then(
          (client) => client.destroy(),
          () => true,
        ),
      );
      const ready = await admin('GET', '/readyz');
      expect(ready).toMatchObject({ status: 503 });
      expect((ready.body as { why: string[] }).why).toContain('shutting down');
      response.end('late');
      const reply = await busy.reply();
      expect([reply.body.toString(), reply.field('connection')]).toEqual(['late', 'close']);
      busy.destroy();
      expect(await gone).toEqual([0, null]);
      expect(pids.filter(alive)).toEqual([]);
    },
    TEST_MS,
  );

  it(
    'are cut by a second signal',
    async () => {
      const { child, gone, said, records } = await start();
      const tunnels = await tunnelsOnBoth();
      const pids = (await workers()).map(({ pid }) => pid);
      child.kill('SIGTERM');
      await eventually(() => said().includes('open work may end'));
      child.kill('SIGTERM');
      expect(await gone).toEqual([0, null]);
      expect(pids.filter(alive)).toEqual([]);
      const ends = records().filter((one) => one['kind'] === 'end');
      expect(ends.map((end) => end['reason'])).toEqual(tunnels.map(() => 'draining'));
      await verified();
    },
    TEST_MS,
  );

  it(
    'drain and go when the process that supervises them is killed',
    async () => {
      const { child, gone } = await start('1s');
      const tunnels = await tunnelsOnBoth();
      const pids = (await workers()).map(({ pid }) => pid);
      child.kill('SIGKILL');
      await gone;
      await Promise.all(tunnels.map((tunnel) => tunnel.over(LIMIT_MS)));
      await eventually(() => !pids.some(alive), LIMIT_MS);
      await verified();
    },
    TEST_MS,
  );
});
