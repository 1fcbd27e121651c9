/** `approvals` on the command line, of a proxy of one process and of two: real clients wait, a person decides in another shell. */
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { URI } from 'otpauth';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { jsonLines } from '../helpers/json.ts';
import { policy } from '../helpers/scene.ts';
import { open, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { type Running, startProcess } from './process-harness.ts';

const LIMIT_MS = 60_000;

const listed = z.array(z.looseObject({ id: z.string(), waiting: z.number(), same: z.number() }));

describe.each([1, 2])('a proxy of %i processes', (workers) => {
  let web: Upstream;
  let hook: Upstream;
  let running: Running;
  const clients: Talk[] = [];

  beforeAll(async () => {
    web = await httpUpstream();
    hook = await httpUpstream();
    const more = 'wait: 1m, addresses: [127.0.0.0/8]';
    running = await startProcess({
      policies: {
        'agents.yaml': policy([
          `approve: "pay.test:${web.port}", methods: [POST], ${more}`,
          `approve: "pay.test:${web.port}", methods: [PUT], remember: 10m, ${more}`,
          `approve: "pay.test:${web.port}", methods: [DELETE], second_factor: true, ${more}`,
        ]),
      },
      settings: `proxy: { listen: "127.0.0.1:0", workers: ${workers}, drain: 1s }\nadmin: { listen: "127.0.0.1:0" }\nnotify: { url: "http://127.0.0.1:${hook.port}/hook?token=T0P" }\ndns: { hosts: { "pay.test": [127.0.0.1] } }\n`,
    });
  }, LIMIT_MS);
  afterAll(async () => {
    for (const client of clients) client.destroy();
    await running.remove();
    await web.close();
    await hook.close();
  });

  const send = async (line: string): Promise<Talk> => {
    const client = await open(running.port);
    clients.push(client);
    const at = `pay.test:${web.port}`;
    const [method, path] = line.split(' ');
    client.write(`${method} http://${at}${path} HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 1\r\n\r\nx`);
    return client;
  };
  const runAs = (env: Record<string, string>, ...args: string[]) =>
    running.home.run(['approvals', ...args], {
      env: { SALLYPORT_ADMIN_LISTEN: `127.0.0.1:${running.adminPort}`, ...env },
    });
  const run = (...args: string[]) => runAs({}, ...args);
  const metrics = async (): Promise<string> => String((await running.admin('GET', '/metrics')).body);
  const waiting = async (count: number) =>
    eventually(async () => {
      const { out, err, status } = await run('list', '--json');
      if (status !== 0) throw new Error(err);
      const shown = listed.parse(JSON.parse(out));
      return shown.reduce((sum, one) => sum + one.waiting, 0) === count && shown;
    }, LIMIT_MS);

  it(
    'shows what waits as one entry however many ask, and one yes lets all of them go on',
    async () => {
      const asked = await Promise.all(Array.from({ length: 6 }, () => send('POST /charge')));
      const [entry, ...others] = await waiting(6);
      expect([others, entry?.same]).toEqual([[], 6]);
      const text = await run('list');
      expect(text.out).toMatch(
        /agents {2}POST http:\/\/pay\.test:\d+\/charge[\s\S]*6 waiting[\s\S]*body, 1 bytes: x/,
      );
      // Two workers may hold it: it is one all the same.
      expect(await metrics()).toContain('\nsallyport_approvals_pending{group="agents"} 1\n');
      const yes = await run('allow', entry?.id ?? '');
      expect([yes.status, yes.out, yes.err]).toEqual([0, 'Let through: 6 calls.\n', '']);
      for (const client of asked) expect((await client.reply()).status).toBe(200);
      const told = await eventually(() => hook.seen.length >= 2 && hook.seen, LIMIT_MS);
      expect(told.flatMap(({ body }) => jsonLines(`${body.toString()}\n`))).toMatchObject([
        { event: 'approval.held', approval: { group: 'agents', method: 'POST', path: '/charge' } },
        { event: 'approval.decided', decision: 'allow', by: 'admin' },
      ]);
      await eventually(async () =>
        /^sallyport_notifications_total\{outcome="sent"\} 2$/m.test(await metrics()),
      );
      const secret = readFileSync(join(running.home.dir, '.sallyport', 'notify.key'), 'utf8').trim();
      for (const { url, headers, body } of told) {
        const signed = createHmac('sha256', secret).update(
          `${String(headers['x-sallyport-timestamp'])}.${body.toString()}`,
        );
        expect([url, headers['x-sallyport-signature']]).toEqual([
          '/hook?token=T0P',
          `v1=${signed.digest('hex')}`,
        ]);
      }
      expect(running.said()).not.toContain('T0P');
      const late = await run('allow', entry?.id ?? '');
      expect([late.status, late.err]).toEqual([1, 'sallyport: It was allowed by admin before.\n']);
      const found = running.records();
      expect(found.filter(({ verdict, kind }) => kind === 'decision' && verdict === 'approve')).toHaveLength(
        6,
      );
      expect(found.filter(({ action }) => action === 'approval.allow')).toMatchObject([
        { operator: 'admin', group: 'agents', subject: entry?.id },
      ]);
    },
    LIMIT_MS,
  );

  it(
    'remembers a yes for every process, until it is taken back',
    async () => {
      await send('PUT /kept');
      const [entry] = await waiting(1);
      const yes = await run('allow', entry?.id ?? '');
      expect(yes.out).toMatch(/^Let through: 1 call; the same needs no other yes until /);
      const again = await Promise.all(Array.from({ length: 6 }, () => send('PUT /kept')));
      for (const client of again) expect((await client.reply()).status).toBe(200);
      const shown = await run('list');
      expect(shown.out).toMatch(/^Nothing waits\.\nremembered until .* by admin: PUT pay\.test:\d+\/kept/);
      const forgot = await run('forget', entry?.id ?? '');
      expect(forgot.status).toBe(0);
      const asked = await send('PUT /kept');
      const [next] = await waiting(1);
      const no = await run('deny', next?.id ?? '', '--reason', 'Not now.');
      expect(no.out).toBe('Refused: 1 call.\n');
      expect((await asked.reply()).json()).toMatchObject({ reason: 'approval_denied', detail: 'Not now.' });
    },
    LIMIT_MS,
  );

  it(
    'wants a one-time code where the rule says so, and takes each one once',
    async () => {
      const enrolled = await running.home.run(['operator', 'totp', 'admin']);
      const totp = URI.parse(/otpauth:\S+/.exec(enrolled.out)?.[0] ?? '');
      const first = await send('DELETE /account');
      const [entry] = await waiting(1);
      const id = entry?.id ?? '';
      expect((await run('allow', id)).err).toContain('wants a one-time code');
      expect((await run('allow', id, '--code', '000000')).status).toBe(1);
      const code = totp.generate();
      // The proxy hears of the new factor a moment later.
      const yes = await eventually(async () => {
        const tried = await run('allow', id, '--code', code);
        return tried.err.includes('has no one-time codes') ? null : tried;
      }, LIMIT_MS);
      expect([yes.out, yes.err]).toEqual(['Let through: 1 call.\n', '']);
      expect((await first.reply()).status).toBe(200);
      const second = await send('DELETE /account');
      const [other] = await waiting(1);
      expect((await run('allow', other?.id ?? '', '--code', code)).err).toContain('used before');
      await run('deny', other?.id ?? '', '--reason', 'twice');
      expect((await second.reply()).status).toBe(403);
    },
    LIMIT_MS,
  );

  it(
    'is decided under the name of whose token it is, with a code of their own',
    async () => {
      const made = await running.admin('POST', '/api/v1/operators', { name: 'ann', role: 'approver' });
      const { token } = z.object({ token: z.string() }).parse(made.body);
      const file = join(running.home.dir, 'ann.token');
      writeFileSync(file, `${token}\n`);
      const asked = await send('POST /by-ann');
      const [entry] = await waiting(1);
      const yes = await run('allow', entry?.id ?? '', '--token-file', file);
      expect([yes.status, yes.out]).toEqual([0, 'Let through: 1 call.\n']);
      expect((await asked.reply()).status).toBe(200);
      expect(running.records().find(({ path }) => path === '/by-ann')).toMatchObject({
        approval: { by: 'ann' },
      });
      const enrolled = await running.home.run(['operator', 'totp', 'ann']);
      const totp = URI.parse(/otpauth:\S+/.exec(enrolled.out)?.[0] ?? '');
      const second = await send('DELETE /by-ann');
      const [other] = await waiting(1);
      const code = ['allow', other?.id ?? '', '--code', totp.generate()] as const;
      // The admin's code would be another one.
      expect((await run(...code)).status).toBe(1);
      const byAnn = await eventually(async () => {
        const tried = await runAs({ SALLYPORT_OPERATOR_TOKEN: token }, ...code);
        return tried.err.includes('has no one-time codes') ? null : tried;
      }, LIMIT_MS);
      expect([byAnn.status, byAnn.out]).toEqual([0, 'Let through: 1 call.\n']);
      expect((await second.reply()).status).toBe(200);
      const isHers = (one: Record<string, unknown>): boolean =>
        one['action'] === 'approval.allow' && one['operator'] === 'ann' && one['subject'] === other?.id;
      await eventually(() => running.records().some(isHers), LIMIT_MS);
      await running.home.run(['operator', 'revoke', 'ann']);
      const after = await eventually(async () => {
        const tried = await runAs({ SALLYPORT_OPERATOR_TOKEN_FILE: file }, 'list');
        return tried.status === 1 && tried;
      }, LIMIT_MS);
      expect(after.err).toContain('wrong, or was revoked');
      expect(JSON.stringify(running.records()) + running.said()).not.toContain(token);
    },
    LIMIT_MS,
  );

  it(
    'is what the first of two operators said, for all who asked, whichever process they asked',
    async () => {
      const made = await running.admin('POST', '/api/v1/operators', { name: 'bea', role: 'approver' });
      const { token } = z.object({ token: z.string() }).parse(made.body);
      for (let round = 0; round < 5; round += 1) {
        const asked = await Promise.all(Array.from({ length: 4 }, () => send(`POST /race/${round}`)));
        const [entry, ...others] = await waiting(4);
        expect(others).toEqual([]);
        const answer = (by: string, decision: 'allow' | 'deny') =>
          fetch(`${running.adminUrl}/api/v1/approvals/${entry?.id ?? ''}`, {
            method: 'POST',
            headers: { authorization: `Bearer ${by}`, 'content-type': 'application/json' },
            body: JSON.stringify({ decision, reason: 'a race' }),
          }).then(({ status }) => status);
        const [no, yes] = await Promise.all([answer(running.token, 'deny'), answer(token, 'allow')]);
        expect(new Set([no, yes])).toEqual(new Set([200, 409]));
        const seen = await Promise.all(asked.map(async (client) => (await client.reply()).status));
        expect(seen).toEqual(Array.from({ length: 4 }, () => (yes === 200 ? 200 : 403)));
      }
    },
    LIMIT_MS,
  );

  it.each([
    ['is not there', 'nowhere.token', null, 'cannot be read'],
    ['is empty', 'empty.token', ' \n', 'holds no operator token'],
    ['holds two lines', 'two.token', 'spo_a\nspo_b\n', 'holds no operator token'],
  ])('is decided by nobody whose token file %s', async (_how, name, text, words) => {
    const file = join(running.home.dir, name);
    if (text !== null) writeFileSync(file, text);
    const ran = await run('list', '--token-file', file);
    expect([ran.status, ran.out]).toEqual([1, '']);
    expect(ran.err).toContain(words);
  });

  it(
    'refuses what is held when it stops',
    async () => {
      const asked = await send('POST /stopping');
      await waiting(1);
      running.child.kill('SIGTERM');
      expect((await asked.reply()).json()).toMatchObject({ reason: 'draining' });
      expect(await running.gone).toEqual([0, null]);
    },
    LIMIT_MS,
  );
});
