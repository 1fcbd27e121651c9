/**
 * What of approvals survives the end of the process, be it killed: yeses that still hold, and nothing that waited. The next
 * process asks about the same call anew.
 */
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { policy } from '../helpers/scene.ts';
import { open, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { alive, childrenOf, type Running, startProcess } from './process-harness.ts';

const LIMIT_MS = 60_000;
const lists = z.object({
  approvals: z.array(z.looseObject({ id: z.string(), method: z.string(), path: z.string() })),
  remembered: z.array(z.looseObject({ id: z.string(), by: z.string() })),
});

describe.each([1, 2])('approvals of a proxy of %i processes that is killed', (workers) => {
  let web: Upstream;
  let running: Running | null = null;
  const clients: Talk[] = [];
  const kept = mkdtempSync(join(tmpdir(), 'sallyport-restart-'));

  beforeAll(async () => {
    web = await httpUpstream();
  });
  afterAll(async () => {
    for (const client of clients) client.destroy();
    await running?.remove();
    await web.close();
    rmSync(kept, { recursive: true, force: true });
  });

  const start = async (): Promise<Running> => {
    running = await startProcess({
      policies: {
        'agents.yaml': policy([
          `approve: "pay.test:${web.port}", methods: [PUT], remember: 10m, wait: 1m, addresses: [127.0.0.0/8]`,
          `approve: "pay.test:${web.port}", methods: [POST], wait: 1m, addresses: [127.0.0.0/8]`,
        ]),
      },
      settings: `proxy: { listen: "127.0.0.1:0", workers: ${workers}, drain: 1s }\nadmin: { listen: "127.0.0.1:0" }\ndns: { hosts: { "pay.test": [127.0.0.1] } }\n`,
      prepare: async ({ dir }) => {
        if (existsSync(join(kept, 'audit'))) cpSync(kept, join(dir, '.sallyport'), { recursive: true });
      },
    });
    return running;
  };
  const send = async ({ port }: Running, line: string): Promise<Talk> => {
    const client = await open(port);
    clients.push(client);
    const [method = '', path = ''] = line.split(' ');
    const at = `pay.test:${web.port}`;
    client.write(`${method} http://${at}${path} HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 1\r\n\r\nx`);
    return client;
  };
  const held = ({ admin }: Running, count: number) =>
    eventually(async () => {
      const shown = lists.parse((await admin('GET', '/api/v1/approvals')).body);
      return shown.approvals.length === count && shown;
    }, LIMIT_MS);
  const allow = ({ admin }: Running, id: string) =>
    admin('POST', `/api/v1/approvals/${id}`, { decision: 'allow' });

  it(
    'keep what was remembered and forget what waited',
    async () => {
      const first = await start();
      const put = await send(first, 'PUT /kept');
      const [entry] = (await held(first, 1)).approvals;
      expect((await allow(first, entry?.id ?? '')).status).toBe(200);
      expect((await put.reply({ limitMs: LIMIT_MS })).status).toBe(200);
      const lost = await send(first, 'POST /lost');
      const [waits] = (await held(first, 1)).approvals;
      const pids = [first.child.pid ?? 0, ...childrenOf(first.child.pid)];
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await first.gone;
      await eventually(() => !pids.some(alive), LIMIT_MS);
      await lost.over(LIMIT_MS);
      cpSync(join(first.home.dir, '.sallyport'), kept, { recursive: true });
      await first.remove();

      const second = await start();
      const { remembered } = await held(second, 0);
      expect(remembered).toMatchObject([{ id: entry?.id, by: 'admin' }]);
      expect((await allow(second, waits?.id ?? '')).status).toBe(410);
      // Each worker knows of the yes.
      for (let n = 0; n < 6; n += 1) {
        expect((await (await send(second, 'PUT /kept')).reply({ limitMs: LIMIT_MS })).status).toBe(200);
      }
      const again = await send(second, 'POST /lost');
      const [asked] = (await held(second, 1)).approvals;
      expect(asked?.id).not.toBe(waits?.id);
      expect((await allow(second, asked?.id ?? '')).status).toBe(200);
      expect((await again.reply({ limitMs: LIMIT_MS })).status).toBe(200);
      expect(web.seen.filter(({ url }) => url === '/lost')).toHaveLength(1);
      await eventually(
        () => second.records().some((one) => one['subject'] === asked?.id && one['origin'] === 'api'),
        LIMIT_MS,
      );
      const verified = await second.home.run(['audit', 'verify']);
      expect([verified.status, verified.err]).toEqual([0, '']);
    },
    // Two starts, and some waits.
    4 * LIMIT_MS,
  );
});
