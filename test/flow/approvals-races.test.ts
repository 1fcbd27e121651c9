/**
 * Held requests when two things happen at once, many times over in orders that nobody planned: whoever decides, leaves or locks,
 * every request has one outcome, the record tells it, and nothing goes upstream without a recorded yes.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decide, held } from '../helpers/approvals.ts';
import { policy } from '../helpers/scene.ts';
import { connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const ROUNDS = 30;
const LIMIT_MS = 60_000;

/** Some turns of the loop, none among them. */
async function turns(): Promise<void> {
  for (let left = Math.floor(Math.random() * 4); left > 0; left -= 1) {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (Math.random() < 0.5) setImmediate(resolve);
    else setTimeout(resolve, Math.random() * 3);
    await promise;
  }
}

describe('a held request', () => {
  let world: World;
  let web: Upstream;
  let at = '';

  beforeAll(async () => {
    web = await httpUpstream({ name: 'pay.test' });
    at = `pay.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([`approve: "${at}", methods: [POST, PUT], wait: 5m, addresses: [127.0.0.0/8]`]),
      },
      hosts: { 'pay.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  const send = async (path: string, headers = ''): Promise<Talk> => {
    const client = await connectTls(world.port, at, { ca: world.caPem, headers });
    client.write(`POST ${path} HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 1\r\n\r\nx`);
    return client;
  };
  const idOf = (path: string): Promise<string> =>
    eventually(() => held(world).find((view) => view.path === path)?.id, LIMIT_MS);

  type Line = Record<string, unknown>;
  /** One decision and one end for each path; upstream saw those alone that a recorded yes let through. */
  const checked = async (paths: readonly string[]): Promise<Map<string, Line>> => {
    await eventually(() => held(world).length === 0, LIMIT_MS);
    const { decisions } = await eventually(async () => {
      const all = await world.audit();
      const of = (kind: string): Line[] =>
        all.filter((one) => one['kind'] === kind && paths.includes(String(one['path'])));
      return of('end').length >= paths.length && { decisions: of('decision'), ends: of('end') };
    }, LIMIT_MS);
    const ends = (await world.audit()).filter(
      (one) => one['kind'] === 'end' && paths.includes(String(one['path'])),
    );
    expect(ends.map(({ path }) => String(path)).sort()).toEqual([...paths].sort());
    const seen = web.seen.map(({ url }) => url).filter((url) => paths.includes(url));
    expect(new Set(seen).size).toBe(seen.length);
    const approved = decisions.filter(({ verdict }) => verdict === 'approve').map(({ path }) => path);
    expect(seen.filter((url) => !approved.includes(url))).toEqual([]);
    return new Map(ends.map((end) => [String(end['path']), end]));
  };

  it(
    'whose client leaves while it is approved goes upstream with a recorded yes or not at all',
    async () => {
      const paths = Array.from({ length: ROUNDS }, (_, n) => `/leaves/${n}`);
      for (const path of paths) {
        const client = await send(path);
        const id = await idOf(path);
        const leave = turns().then(() => (Math.random() < 0.5 ? client.reset() : client.destroy()));
        const decided = turns().then(() => decide(world, id));
        const [, what] = await Promise.all([leave, decided]);
        if (what.kind !== 'done') expect(what).toMatchObject({ kind: 'over', how: 'withdrawn' });
      }
      await checked(paths);
    },
    2 * LIMIT_MS,
  );

  it(
    'that is approved while everybody is locked down is answered with one of the two, and nothing passes after the lock',
    async () => {
      const paths = Array.from({ length: ROUNDS }, (_, n) => `/locked/${n}`);
      const lockdown = world.proxy.parts.lockdown;
      for (const path of paths) {
        const client = await send(path);
        const id = await idOf(path);
        const lock = turns().then(() => lockdown.lock({ group: '*', by: 'ann', reason: 'race' }));
        const decided = turns().then(() => decide(world, id));
        const answer = client.reply({ limitMs: LIMIT_MS }).catch(() => null);
        const [, what] = await Promise.all([lock, decided]);
        const reply = await answer;
        // Cut while its answer was on the way: the client sees the end of its connection.
        if (reply !== null && reply.status !== 200) {
          expect(reply.json()).toMatchObject({ status: 503, reason: 'locked_down' });
        }
        if (what.kind !== 'done') {
          expect(what).toMatchObject({ kind: 'over', how: 'refused' });
          expect(reply?.status).not.toBe(200);
        }
        const late = await decide(world, id);
        expect(late.kind).toBe('over');
        client.destroy();
        await lockdown.unlock('*');
      }
      const ends = await checked(paths);
      for (const end of ends.values()) expect(['done', 'refused', 'cut']).toContain(end['ended']);
    },
    2 * LIMIT_MS,
  );

  it(
    'that two operators answer at once, one with yes and one with no, is what the first of them said',
    async () => {
      const paths = Array.from({ length: ROUNDS }, (_, n) => `/two/${n}`);
      for (const path of paths) {
        const client = await send(path);
        const id = await idOf(path);
        const [yes, no] = await Promise.all([
          turns().then(() => decide(world, id, { by: 'ann' })),
          turns().then(() => decide(world, id, { by: 'bob', decision: 'deny', reason: 'No.' })),
        ]);
        expect([yes.kind, no.kind].sort()).toEqual(['done', 'over']);
        const reply = await client.reply({ limitMs: LIMIT_MS });
        expect(reply.status).toBe(yes.kind === 'done' ? 200 : 403);
        const [late, first] = yes.kind === 'done' ? [no, 'ann'] : [yes, 'bob'];
        expect(late).toMatchObject({ kind: 'over', by: first });
        client.destroy();
      }
      await checked(paths);
    },
    2 * LIMIT_MS,
  );

  it('is refused when the token of its client is revoked, and nobody can say yes to it any more', async () => {
    const { record, token } = world.proxy.parts.tokens.create({ group: 'agents' });
    const client = await send('/revoked', `Proxy-Authorization: Bearer ${token}\r\n`);
    const id = await idOf('/revoked');
    world.proxy.parts.tokens.revoke(record.id);
    const what = await decide(world, id);
    expect(what).toMatchObject({ kind: 'over', how: 'refused' });
    await client.over(LIMIT_MS);
    const ends = await checked(['/revoked']);
    expect(ends.get('/revoked')).toMatchObject({ reason: 'auth_invalid' });
    expect(web.seen.some(({ url }) => url === '/revoked')).toBe(false);
  });
});
