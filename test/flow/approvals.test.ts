/** `approve` rules: a request is held until a person decides, and what its client, its record and the upstream see of it. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { decide, held, theHeld } from '../helpers/approvals.ts';
import { metric, placeholderIn, policy, profile, records, theRecord } from '../helpers/scene.ts';
import { askOnce, connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD';
const LOOPBACK = 'addresses: [127.0.0.0/8]';

describe('a held request', () => {
  const clock = movableClock();
  let world: World;
  let web: Upstream;
  let at = '';
  let key = '';
  let clients: Talk[] = [];

  const rules = (more = 'remember: 10m, cooldown: 1m') =>
    policy(
      [
        `deny: "${at}", paths: ["/never/**"], reason: never`,
        `approve: "${at}", methods: [POST], wait: 5m, ${LOOPBACK}`,
        `approve: "${at}", methods: [PUT, DELETE], wait: 5m, ${more}, ${LOOPBACK}`,
        `approve: "${at}", methods: [PATCH], second_factor: true, ${LOOPBACK}`,
        `allow: "${at}", ${LOOPBACK}`,
      ],
      { more: 'profile: keys\n' },
    );

  beforeAll(async () => {
    web = await httpUpstream({ name: 'pay.test' });
    at = `pay.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': rules(),
        'profiles/keys.yaml': profile([
          { env: 'PAY_KEY', from: 'file:pay.key', hosts: [at], in: ['header', 'path'] },
        ]),
      },
      files: { 'pay.key': REAL },
      hosts: { 'pay.test': ['127.0.0.1'] },
      clock,
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: proxy\r\n\r\n');
    key = placeholderIn(env.json(), 'PAY_KEY');
  });
  afterEach(async () => {
    for (const client of clients) client.destroy();
    clients = [];
    await eventually(() => held(world).length === 0);
    web.seen.length = 0;
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  const dial = async (): Promise<Talk> => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    clients.push(client);
    return client;
  };
  const request = (line: string, body = '', fields = ''): string =>
    `${line} HTTP/1.1\r\nHost: ${at}\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`;
  /** Sends it on a connection of its own. */
  const send = async (line: string, body = '', fields = ''): Promise<Talk> => {
    const client = await dial();
    client.write(request(line, body, fields));
    return client;
  };

  it('waits with nothing upstream, is shown, and goes on after a yes as if nothing had been', async () => {
    const client = await send('POST /v1/charges?x=1', 'amount=100', `Authorization: Bearer ${key}\r\n`);
    const view = await theHeld(world, ({ body }) => body?.whole === true);
    expect(view).toMatchObject({
      group: 'agents',
      identity: 'group:agents',
      host: at,
      method: 'POST',
      path: '/v1/charges?x=1',
      url: `https://${at}/v1/charges?x=1`,
      keys: ['PAY_KEY'],
      waiting: 1,
      same: 1,
      body: { bytes: 10, length: 10, text: 'amount=100', whole: true },
      second_factor: false,
      remember: 0,
    });
    expect(Date.parse(view.expires) - Date.parse(view.since)).toBe(300_000);
    expect(await metric(world, 'sallyport_approvals_pending{group="agents"}')).toBe(1);
    expect(web.connections()).toBe(0);
    expect(await records(world, { stage: 'request', method: 'POST' })).toEqual([]);
    expect(await decide(world, view.id)).toMatchObject({ kind: 'done', released: 1, remembered: null });
    expect((await client.reply()).body.toString()).toBe('POST /v1/charges?x=1 10');
    expect(web.seen[0]?.body.toString()).toBe('amount=100');
    expect(web.seen[0]?.headers.authorization).toBe(`Bearer ${REAL}`);
    const decision = await theRecord(world, { kind: 'decision', stage: 'request', method: 'POST' });
    expect(decision).toMatchObject({
      verdict: 'approve',
      reason: null,
      keys: ['PAY_KEY'],
      approval: { id: view.id, by: 'alice' },
    });
    const end = await theRecord(world, { kind: 'end', stage: 'request', method: 'POST' });
    expect(end).toMatchObject({ ended: 'done', status: 200, verdict: 'approve', bytes_up: 10 });
    expect(await metric(world, 'sallyport_approvals_total{group="agents",outcome="allowed"}')).toBe(1);
    // The connection goes on.
    client.write(request('GET /next'));
    expect((await client.reply()).status).toBe(200);
  });

  it('hears the reason of a no, and the next request of its connection is served', async () => {
    const client = await dial();
    client.write(request('POST /one', 'x') + request('GET /two'));
    const view = await theHeld(world);
    await decide(world, view.id, { decision: 'deny', reason: 'Not on a Sunday.' });
    const reply = await client.reply();
    expect(reply.status).toBe(403);
    expect(reply.json()).toMatchObject({ reason: 'approval_denied', detail: 'Not on a Sunday.' });
    expect((await client.reply()).body.toString()).toBe('GET /two 0');
    expect(web.seen.map(({ url }) => url)).toEqual(['/two']);
    expect(await theRecord(world, { kind: 'decision', path: '/one' })).toMatchObject({
      verdict: 'deny',
      reason: 'approval_denied',
      approval: { by: 'alice' },
    });
  });

  it('is refused with Retry-After when nobody decides in time, whatever other clocks say', async () => {
    const client = await send('POST /slow');
    const { id } = await theHeld(world);
    clock.advance(290_000);
    world.proxy.parts.live.tick(clock.mono());
    world.proxy.parts.approvals.tick(clock.mono());
    expect(held(world)).toHaveLength(1);
    clock.advance(11_000);
    const reply = await client.reply();
    expect(reply.json()).toMatchObject({ status: 403, reason: 'approval_timeout' });
    expect(Number(reply.field('retry-after'))).toBeGreaterThan(0);
    expect(reply.field('x-should-retry')).toBeUndefined();
    expect(await decide(world, id)).toEqual({ kind: 'over', how: 'timeout', by: null });
    expect(web.seen).toEqual([]);
  });

  it('goes on long after the idle time of its rule', async () => {
    const client = await send('POST /patient', 'x');
    const { id } = await theHeld(world, ({ body }) => body?.whole === true);
    clock.advance(290_000);
    await decide(world, id);
    world.proxy.parts.live.tick(clock.mono());
    expect((await client.reply()).status).toBe(200);
    const { overhead_ms: overhead } = await theRecord(world, { kind: 'end', path: '/patient' });
    expect(Number(overhead)).toBeLessThan(10_000);
  });

  it.each([
    ['breaks its connection off', (client: Talk): void => client.reset(), 'client_abort'],
    ['ends its side', (client: Talk): void => void client.socket.end(), 'refused'],
    ['closes', (client: Talk): void => client.destroy(), 'refused'],
  ])('is withdrawn when its client %s', async (how, leave, ended) => {
    const path = `/gone/${how.length}`;
    const client = await send(`POST ${path}`);
    const { id } = await theHeld(world);
    leave(client);
    await eventually(() => held(world).length === 0);
    expect(await decide(world, id)).toEqual({ kind: 'over', how: 'withdrawn', by: null });
    expect(await theRecord(world, { kind: 'decision', path })).toMatchObject({ reason: 'approval_timeout' });
    expect(['client_abort', ended]).toContain((await theRecord(world, { kind: 'end', path }))['ended']);
    expect(web.seen).toEqual([]);
  });

  it('shares its entry with whoever asks the same, and one yes is for all that are the same', async () => {
    const clients = await Promise.all([1, 2, 3].map(() => send('POST /same', 'equal')));
    const other = await send('POST /same', 'other');
    const view = await theHeld(world, ({ waiting, same }) => waiting === 4 && same === 3);
    expect(await decide(world, view.id)).toMatchObject({ kind: 'done', released: 3 });
    for (const client of clients) expect((await client.reply()).status).toBe(200);
    const left = await theHeld(world);
    expect(left.id).not.toBe(view.id);
    expect(left.body?.text).toBe('other');
    expect(await decide(world, view.id)).toEqual({ kind: 'over', how: 'allowed', by: 'alice' });
    await decide(world, left.id, { decision: 'deny', reason: null });
    expect((await other.reply()).status).toBe(403);
  });

  it('is another entry with another method, path or query', async () => {
    await Promise.all([
      send('POST /a'),
      send('POST /b'),
      send('POST /a?x'),
      send('DELETE /a'),
      send('POST /a'),
    ]);
    await eventually(() => held(world).reduce((sum, { waiting }) => sum + waiting, 0) === 5);
    expect(
      held(world)
        .map(({ method, path }) => `${method} ${path}`)
        .sort(),
    ).toEqual(['DELETE /a', 'POST /a', 'POST /a?x', 'POST /b']);
    for (const { id } of held(world)) await decide(world, id, { decision: 'deny' });
  });

  it('lets the same pass for `remember` after a yes, and asks again after that', async () => {
    const first = await send('PUT /kept', 'a');
    const view = await theHeld(world);
    const done = await decide(world, view.id);
    expect(done).toMatchObject({ kind: 'done', released: 1 });
    expect((await first.reply()).status).toBe(200);
    const second = await send('PUT /kept', 'b');
    expect((await second.reply()).status).toBe(200);
    expect(await records(world, { kind: 'decision', path: '/kept', verdict: 'approve' })).toHaveLength(2);
    expect(await metric(world, 'sallyport_approvals_total{group="agents",outcome="remembered"}')).toBe(1);
    clock.advance(601_000);
    const third = await send('PUT /kept', 'c');
    expect((await theHeld(world)).id).not.toBe(view.id);
    third.destroy();
  });

  it('is for this once when the person says so, whatever the rule would remember', async () => {
    clock.advance(120_000);
    const first = await send('PUT /once');
    await decide(world, (await theHeld(world)).id, { remember: false });
    expect((await first.reply()).status).toBe(200);
    const second = await send('PUT /once');
    await theHeld(world);
    second.destroy();
  });

  it('is not remembered any more than the rule in force says', async () => {
    clock.advance(120_000);
    const first = await send('PUT /tightened');
    await decide(world, (await theHeld(world)).id);
    expect((await first.reply()).status).toBe(200);
    clock.advance(60_000);
    world.setPolicy('agents.yaml', rules('remember: 30s'));
    const second = await send('PUT /tightened');
    await theHeld(world);
    world.setPolicy('agents.yaml', rules());
    second.destroy();
  });

  it('is refused at once for `cooldown` after a no, and nothing of the rule is allowed so soon after a yes', async () => {
    clock.advance(120_000);
    const first = await send('DELETE /no');
    await decide(world, (await theHeld(world)).id, { decision: 'deny', reason: 'no' });
    expect((await first.reply()).status).toBe(403);
    const again = await send('DELETE /no');
    expect((await again.reply()).json()).toMatchObject({ reason: 'approval_denied', detail: 'no' });
    const yes = await send('DELETE /yes');
    await decide(world, (await theHeld(world)).id);
    expect((await yes.reply()).status).toBe(200);
    const soon = await send('DELETE /soon');
    const view = await theHeld(world);
    expect(view.not_before).not.toBeNull();
    expect(await decide(world, view.id)).toMatchObject({ kind: 'cooling' });
    clock.advance(61_000);
    expect(await decide(world, view.id)).toMatchObject({ kind: 'done' });
    expect((await soon.reply()).status).toBe(200);
  });

  it('needs a one-time code for a yes where the rule wants one, and none for a no', async () => {
    const client = await send('PATCH /x', 'y');
    const view = await theHeld(world);
    expect(view.second_factor).toBe(true);
    expect(await decide(world, view.id)).toEqual({ kind: 'code_needed' });
    expect(await decide(world, view.id, { verified: true })).toMatchObject({ kind: 'done' });
    expect((await client.reply()).status).toBe(200);
    const other = await send('PATCH /x', 'z');
    await decide(world, (await theHeld(world)).id, { decision: 'deny' });
    expect((await other.reply()).status).toBe(403);
  });

  it('is not asked about where keys are misused or a rule denies: that is refused at once', async () => {
    const misused = await send('POST /x', '', `Cookie: k=${key}\r\n`);
    expect((await misused.reply()).json()).toMatchObject({ reason: 'placeholder_wrong_place' });
    const never = await send('POST /never/x');
    expect((await never.reply()).json()).toMatchObject({ reason: 'rule_denied' });
    expect(held(world)).toEqual([]);
  });

  it('shows names of keys in place of placeholders, in the path and in the body', async () => {
    const client = await send(`POST /bot${key}/send`, `token=${key}`);
    const view = await theHeld(world, ({ body }) => body?.whole === true);
    expect(view.path).toBe('/bot[key PAY_KEY]/send');
    expect(view.body?.text).toBe('token=[key PAY_KEY]');
    expect(JSON.stringify(view)).not.toContain(key);
    client.destroy();
  });

  it('shows nothing of a body with a real key or of one that is no text', async () => {
    await send('POST /real', `token=${REAL}`);
    expect(
      (await theHeld(world, ({ body }) => body?.whole === false && body.bytes > 0)).body?.text,
    ).toBeNull();
    for (const client of clients) client.destroy();
    await eventually(() => held(world).length === 0);
    await send('POST /binary', 'a\u0000b');
    expect((await theHeld(world, ({ body }) => (body?.bytes ?? 0) > 0)).body?.text).toBeNull();
  });

  it('is refused when a new policy denies it, and goes on when a new policy needs no person', async () => {
    const refused = await send('POST /reload');
    await theHeld(world);
    world.setPolicy('agents.yaml', policy([`allow: "${at}", methods: [GET], ${LOOPBACK}`]));
    expect((await refused.reply()).json()).toMatchObject({ reason: 'method_not_allowed' });
    world.setPolicy('agents.yaml', rules());
    const freed = await send('POST /reload');
    await theHeld(world);
    world.setPolicy('agents.yaml', policy([`allow: "${at}", methods: [GET, POST], ${LOOPBACK}`]));
    expect((await freed.reply()).status).toBe(200);
    world.setPolicy('agents.yaml', rules());
  });

  it('stays held through a reload that leaves its rule as it was', async () => {
    const client = await send('POST /stays');
    const before = await theHeld(world);
    world.setPolicy('agents.yaml', `# a word\n${rules()}`);
    const { id } = await theHeld(world);
    expect(id).toBe(before.id);
    await decide(world, id);
    expect((await client.reply()).status).toBe(200);
  });

  it('is cut by an operator like anything that is open', async () => {
    const client = await send('POST /cut');
    const { id } = await theHeld(world);
    const why = { kind: 'deny', reason: 'locked_down' } as const;
    world.proxy.parts.live.cutLosers(({ facts }) => (facts === null ? null : why));
    expect((await client.reply()).json()).toMatchObject({ reason: 'locked_down' });
    expect(await decide(world, id)).toMatchObject({ kind: 'over', how: 'refused' });
  });

  it('is decided by one of two operators who answer at once', async () => {
    const client = await send('POST /race');
    const { id } = await theHeld(world);
    const [first, second] = await Promise.all([
      decide(world, id, { by: 'alice' }),
      decide(world, id, { by: 'bob', decision: 'deny' }),
    ]);
    expect(first).toMatchObject({ kind: 'done' });
    expect(second).toEqual({ kind: 'over', how: 'allowed', by: 'alice' });
    expect((await client.reply()).status).toBe(200);
  });

  it('answers an unknown id as such', async () => {
    expect(await decide(world, '01ARZ3NDEKTSV4RRFFQ69G5FAV')).toEqual({ kind: 'unknown' });
  });
});
