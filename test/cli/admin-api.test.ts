/** The admin API of a running proxy, of one process and of two: what each answers, the other does as well. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { policy, tunnelled } from '../helpers/scene.ts';
import { askOnce, connect, tryConnect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { type Running, startProcess } from './process-harness.ts';

const LIMIT_MS = 60_000;

describe.each([1, 2])('the admin API of a proxy of %i processes', (workers) => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let running: Running;

  beforeAll(async () => {
    raw = await rawUpstream((socket) => socket.pipe(socket));
    running = await startProcess({
      policies: { 'agents.yaml': policy([tunnelled(`raw.test:${raw.port}`, 'protocol: any')]) },
      settings: `proxy: { listen: "127.0.0.1:0", workers: ${workers}, drain: 1s }\nadmin: { listen: "127.0.0.1:0", names: [console.corp.example] }\ndns: { hosts: { "raw.test": [127.0.0.1] } }\n`,
    });
  }, LIMIT_MS);
  afterAll(async () => {
    await running.remove();
    await raw.close();
  });

  const get = async <T>(path: string): Promise<T> => (await running.admin('GET', path)).body as T;
  const refuse = async (host: string): Promise<void> => {
    const { client, answer } = await tryConnect(running.port, host);
    client.destroy();
    expect(answer.status).toBe(403);
  };

  it(
    'cuts one connection and leaves the others alone',
    async () => {
      const tunnels = await Promise.all(
        Array.from({ length: 6 }, () => connect(running.port, `raw.test:${raw.port}`)),
      );
      const opened = await get<{ flows: { id: string }[] }>('/api/v1/flows');
      const { flows } = opened;
      expect(flows).toHaveLength(6);
      const [victim] = flows;
      const over: number[] = [];
      for (const [index, tunnel] of tunnels.entries())
        void tunnel.over(LIMIT_MS).then(() => over.push(index));
      expect((await running.admin('DELETE', `/api/v1/flows/${victim?.id}`)).status).toBe(200);
      await eventually(() => over.length === 1);
      const left = await eventually(async () => {
        const now = await get<typeof opened>('/api/v1/flows');
        return now.flows.every(({ id }) => id !== victim?.id) && now;
      });
      expect(left.flows.map(({ id }) => id).sort()).toEqual(
        flows
          .slice(1)
          .map(({ id }) => id)
          .sort(),
      );
      expect((await running.admin('DELETE', `/api/v1/flows/${victim?.id}`)).status).toBe(404);
      for (const tunnel of tunnels) tunnel.destroy();
      await eventually(() =>
        running.records().some((one) => one['action'] === 'flow.cut' && one['subject'] === victim?.id),
      );
    },
    LIMIT_MS,
  );

  it.each([
    ['console.corp.example', 200],
    ['CONSOLE.corp.example:8443', 200],
    ['other.corp.example', 421],
  ])('answers for the Host %s with %i', async (host, status) => {
    const asked = await askOnce(running.adminPort, `GET /metrics HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(asked.status).toBe(status);
  });

  it('records a wrong token once a minute, and counts each', async () => {
    const headers = { authorization: 'Bearer spo_ann_0123456789' };
    const ask = async () => (await fetch(`${running.adminUrl}/api/v1/status`, { headers })).status;
    const codes: number[] = [];
    for (let n = 0; n < 14; n += 1) codes.push(await ask());
    expect(codes.filter((code) => code === 401)).toHaveLength(10);
    expect(codes.slice(10)).toEqual([429, 429, 429, 429]);
    const found = await eventually(() => {
      const tries = running.records().filter(({ action }) => action === 'login');
      return tries.length >= 2 && tries;
    });
    const who = { operator: '(unknown)', client: '127.0.0.1', outcome: 'refused', origin: 'api' };
    expect(found).toMatchObject([
      { ...who, why: 'token_invalid' },
      { ...who, why: 'too_many_failures' },
    ]);
    expect(JSON.stringify(found)).not.toContain('0123456789');
    const { body } = await running.admin('GET', '/metrics');
    expect(body).toMatch(/^sallyport_admin_wrong_tokens_total\{code="token_invalid"\} 10$/m);
    expect(body).toMatch(/^sallyport_admin_wrong_tokens_total\{code="too_many_failures"\} 4$/m);
  });

  it('tells the heads of all chains, that of what people do too', async () => {
    await running.admin('POST', '/api/v1/reload');
    const status = await eventually(async () => {
      const now = await get<{ audit: { seq: number }; people?: { healthy: boolean; seq: number } }>(
        '/api/v1/status',
      );
      return (now.people ?? now.audit).seq > 0 && now;
    });
    expect(status.people?.healthy).toBe(workers === 1 ? undefined : true);
  });

  it('counts what was refused, over all processes', async () => {
    for (let n = 0; n < 8; n += 1) await refuse('evil.test:443');
    await refuse('odd.test:443');
    const blocked = await eventually(async () => {
      const now = await get<{ blocked: { host: string; count: number }[] }>('/api/v1/blocked');
      return now.blocked.reduce((sum, { count }) => sum + count, 0) >= 9 && now.blocked;
    });
    expect(blocked.map(({ host, count }) => [host, count])).toEqual([
      ['evil.test', 8],
      ['odd.test', 1],
    ]);
  });

  it('finds it in the record', async () => {
    await refuse('needle.test:443');
    const found = await eventually(async () => {
      const { records } = await get<{ records: Record<string, unknown>[] }>(
        '/api/v1/audit?host=needle.test&kind=decision',
      );
      return records.length > 0 && records;
    });
    expect(found).toMatchObject([{ verdict: 'deny', reason: 'host_not_allowed', group: 'agents' }]);
    // Its end is written after the answer.
    await eventually(async () => {
      const ofOne = `/api/v1/audit?request_id=${String(found[0]?.['request_id'])}`;
      return (await get<{ records: unknown[] }>(ofOne)).records.length === 2;
    });
  });

  it('explains by the policy in force, to a group, a token or an address', async () => {
    const made = await running.admin('POST', '/api/v1/tokens', { group: 'agents' });
    const { id, token } = made.body as { id: string; token: string };
    const url = `https://raw.test:${raw.port}/`;
    // Workers hear of a token by the file.
    for (const who of [
      { group: 'agents' },
      { from: '127.0.0.1' },
      { identity: 'group:agents' },
      { identity: id },
    ]) {
      const answer = await eventually(async () => {
        const asked = await running.admin('POST', '/api/v1/explain', { ...who, url });
        return asked.status === 200 && asked.body;
      });
      expect([who, answer]).toMatchObject([who, { group: 'agents', verdict: 'allow', treat: 'tunnel' }]);
    }
    const headers = `Proxy-Authorization: Bearer ${token}\r\n`;
    const held = await connect(running.port, `raw.test:${raw.port}`, { headers });
    expect((await running.admin('DELETE', `/api/v1/tokens/${id}`)).status).toBe(200);
    await held.over();
    expect(running.said() + JSON.stringify(running.records())).not.toContain(token);
  });

  it(
    'tells live what every process writes',
    async () => {
      const stop = new AbortController();
      const headers = { authorization: `Bearer ${running.token}` };
      const answer = await fetch(`${running.adminUrl}/api/v1/events`, { headers, signal: stop.signal });
      let text = '';
      const reading = (async () => {
        const decoder = new TextDecoder();
        const body: AsyncIterable<Uint8Array> | null = answer.body;
        for await (const bytes of body ?? []) text += decoder.decode(bytes, { stream: true });
      })().catch(() => {});
      await eventually(() => text.includes('event: hello'));
      for (let n = 0; n < 6; n += 1) await refuse(`live-${n}.test:443`);
      await running.admin('POST', '/api/v1/reload');
      for (let n = 0; n < 6; n += 1) {
        await eventually(() => text.includes(`"host":"live-${n}.test"`));
      }
      await eventually(() => /event: operator\ndata: .*"action":"reload"/.test(text));
      stop.abort();
      await reading;
    },
    LIMIT_MS,
  );
});
