/** `start` as a process of its own: what its signals do to work that is open. */
import type http from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { policy, tunnelled } from '../helpers/scene.ts';
import { connect, open } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { type Running, startProcess } from './process-harness.ts';

const settings = (drain: string): string => `proxy: { listen: "127.0.0.1:0", drain: ${drain} }
admin: { listen: "127.0.0.1:0" }
dns: { hosts: { "raw.test": [127.0.0.1], "web.test": [127.0.0.1] } }
`;

describe('start', () => {
  const responses: http.ServerResponse[] = [];
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let web: Upstream;
  let running: Running;

  beforeAll(async () => {
    raw = await rawUpstream((socket) => socket.on('end', () => socket.end()).resume());
    web = await httpUpstream({ answer: (_request, response) => void responses.push(response) });
  });
  afterEach(() => running.remove());
  afterAll(async () => {
    await raw.close();
    await web.close();
  });

  const start = async (drain: string): Promise<Running> => {
    const rules = [
      tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
      `allow: "web.test:${web.port}", addresses: [127.0.0.0/8]`,
    ];
    running = await startProcess({ policies: { 'agents.yaml': policy(rules) }, settings: settings(drain) });
    return running;
  };
  const ends = (): Record<string, unknown>[] => running.records().filter((one) => one['kind'] === 'end');

  it.each([
    ['SIGTERM', 'SIGINT'],
    ['SIGINT', 'SIGINT'],
  ] as const)(
    'at %s and then %s cuts what is open, writes its end and goes',
    async (first, second) => {
      const { port, child, said, gone, home } = await start('10m');
      const tunnel = await connect(port, `raw.test:${raw.port}`);
      child.kill(first);
      await eventually(() => said().includes('open work may end'));
      child.kill(second);
      expect(await gone).toEqual([0, null]);
      await tunnel.over();
      expect(ends().map((end) => end['host'])).toEqual(['raw.test']);
      expect((await home.run(['audit', 'verify'])).status).toBe(0);
    },
    30_000,
  );

  it('at SIGTERM lets an exchange end, ends what is idle, and says that it is not ready', async () => {
    const { port, child, said, gone, admin } = await start('10m');
    const get = `GET http://web.test:${web.port}/ HTTP/1.1\r\nHost: web.test:${web.port}\r\n\r\n`;
    const [idle, silent, busy] = [await open(port), await open(port), await open(port)];
    expect((await idle.ask('GET /whoami HTTP/1.1\r\nHost: proxy\r\n\r\n')).status).toBe(200);
    const before = responses.length;
    busy.write(get);
    const response = await eventually(() => responses[before]);
    expect((await admin('GET', '/readyz')).status).toBe(200);
    child.kill('SIGTERM');
    await idle.over();
    await silent.over();
    expect(await admin('GET', '/readyz')).toMatchObject({ status: 503, body: { why: ['shutting down'] } });
    await expect(open(port)).rejects.toThrow(/ECONNREFUSED/);
    // A terminal that closes, or a manager that reloads, must not break the drain off.
    child.kill('SIGHUP');
    response.end('late');
    const reply = await busy.reply();
    expect(reply.body.toString()).toBe('late');
    expect(reply.field('connection')).toBe('close');
    busy.destroy();
    expect(await gone).toEqual([0, null]);
    expect(said()).not.toMatch(/"level":50/);
  }, 30_000);

  it('at SIGINT cuts what outlasts the drain, records why, and ends with status 0', async () => {
    const { port, child, gone } = await start('1s');
    const tunnel = await connect(port, `raw.test:${raw.port}`);
    const stuck = await open(port);
    const before = responses.length;
    stuck.write(`GET http://web.test:${web.port}/ HTTP/1.1\r\nHost: web.test:${web.port}\r\n\r\n`);
    await eventually(() => responses[before]);
    child.kill('SIGINT');
    expect(await gone).toEqual([0, null]);
    await tunnel.over();
    const why = ends().map(
      (end) => `${String(end['host'])} ${String(end['ended'])} ${String(end['reason'])}`,
    );
    expect(new Set(why)).toEqual(new Set(['raw.test cut draining', 'web.test cut draining']));
    expect(why).toHaveLength(2);
  }, 30_000);
});
