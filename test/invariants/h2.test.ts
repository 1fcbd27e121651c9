/** The invariants that name no transport hold over HTTP/2 as well: I4, I6, I9 and I10, to client and upstream (I7: its own file). */
import { once } from 'node:events';
import type http2 from 'node:http2';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectH2, type H2Client, type H2Upstream, h2Upstream, replyTo } from '../helpers/h2.ts';
import { intercepted, placeholderIn, policy, profile, records, theRecord } from '../helpers/scene.ts';
import { askOnce } from '../helpers/talk.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD';

describe('over HTTP/2', () => {
  let upstream: H2Upstream;
  let world: World;
  let clock: ReturnType<typeof movableClock>;
  let at = '';
  let other = '';
  const streams: http2.ServerHttp2Stream[] = [];
  const clients: H2Client[] = [];

  beforeAll(async () => {
    upstream = await h2Upstream('web.test', (stream, headers) => {
      streams.push(stream);
      stream.respond({ ':status': 200 });
      const port = String(stream.session?.socket.remotePort);
      if (headers[':path'] === '/hold') stream.write('held.');
      else stream.end(port);
    });
    at = `web.test:${upstream.port}`;
    other = `twin.test:${upstream.port}`;
  });
  afterAll(() => upstream.close());

  beforeEach(async () => {
    clock = movableClock();
    const rules = [intercepted(at), intercepted(other)];
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(rules, { sources: '127.0.0.1/32', more: 'profile: keys\n' }),
        'others.yaml': policy(rules, { group: 'others', sources: '127.0.0.2/32' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at] }]),
      },
      hosts: { 'web.test': ['127.0.0.1'], 'twin.test': ['127.0.0.1'] },
      env: { REAL },
      clock,
    });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await world.stop();
  });

  const client = async (to = at, options: { localAddress?: string; headers?: string } = {}) => {
    const made = await connectH2(world.port, to, { ca: world.caPem, ...options });
    clients.push(made);
    return made;
  };
  const hold = async (by: H2Client) => {
    const stream = by.request('POST /hold');
    const reply = replyTo(stream);
    await once(stream, 'response');
    return { stream, reply };
  };

  it('I4: each stream has one decision before a byte leaves, and one end; the connection has its own', async () => {
    const one = await client();
    await Promise.all(['/a', '/b', '/c'].map((path) => one.ask(`GET ${path}`)));
    one.close();
    for (const path of ['/a', '/b', '/c']) {
      const decision = await theRecord(world, { kind: 'decision', path });
      const end = await theRecord(world, { kind: 'end', path });
      expect(Number(decision['seq'])).toBeLessThan(Number(end['seq']));
      expect(end).toMatchObject({ ended: 'done', status: 200, host: 'web.test', treat: 'intercept' });
    }
    await theRecord(world, { kind: 'end', stage: 'connect' });
  });

  it('I6: a placeholder bound elsewhere is refused, not forwarded', async () => {
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    const before = streams.length;
    const wrong = await client(other);
    const reply = await wrong.ask('GET /', {
      authorization: `Bearer ${placeholderIn(env.json(), 'API_KEY')}`,
    });
    expect(reply.json()).toMatchObject({ status: 403, reason: 'placeholder_wrong_host' });
    expect(streams.length).toBe(before);
  });

  it('I9: no upstream connection serves two identities or two targets, however many streams it has', async () => {
    const { token } = world.proxy.parts.tokens.create({ group: 'agents' });
    const who = [
      await client(),
      await client(at, { localAddress: '127.0.0.2' }),
      await client(at, { headers: `Proxy-Authorization: Bearer ${token}\r\n` }),
      await client(other),
    ];
    const ports = [];
    for (const one of who) ports.push((await one.ask('GET /')).body.toString());
    expect(new Set(ports).size).toBe(4);
    for (const [index, one] of who.entries())
      expect((await one.ask('GET /')).body.toString()).toBe(ports[index]);
    const again = await client();
    expect((await again.ask('GET /')).body.toString()).toBe(ports[0]);
  });

  it('I10: a reload that takes the host away cuts streams, connection and upstream', async () => {
    const one = await client();
    const { reply } = await hold(one);
    const up = streams.at(-1);
    world.setPolicy('agents.yaml', policy([], { sources: '127.0.0.1/32' }));
    const cut = await reply;
    expect(cut.body.toString()).toBe('held.');
    await eventually(() => one.socket.destroyed);
    expect(await theRecord(world, { kind: 'end', path: '/hold' })).toMatchObject({ ended: 'cut' });
    await eventually(() => up?.destroyed);
    await eventually(() => world.proxy.parts.pool.stats().idle + world.proxy.parts.pool.stats().busy === 0);
  });

  it('I10: a reload that still allows leaves streams alone, and new ones begin with a new connection', async () => {
    const one = await client();
    const { stream, reply } = await hold(one);
    const up = streams.at(-1);
    world.setPolicy('more.yaml', policy([], { group: 'more', sources: '127.0.0.9/32' }));
    const next = await one.ask('GET /next');
    expect(next.body.toString()).not.toBe(String(up?.session?.socket.remotePort));
    stream.end();
    up?.end('on');
    expect((await reply).body.toString()).toBe('held.on');
  });

  it('I10: a revoked token cuts its streams, and not those of others', async () => {
    const { record, token } = world.proxy.parts.tokens.create({ group: 'agents' });
    const mine = await client(at, { headers: `Proxy-Authorization: Bearer ${token}\r\n` });
    const theirs = await client();
    const held = await hold(mine);
    const kept = await hold(theirs);
    world.proxy.parts.tokens.revoke(record.id);
    await held.reply;
    await eventually(() => mine.socket.destroyed);
    expect(kept.stream.destroyed).toBe(false);
    expect((await theirs.ask('GET /still')).status).toBe(200);
  });

  it('a stream on which nothing moves ends at the idle limit of its rule, and its connection serves on', async () => {
    const one = await client();
    const { reply } = await hold(one);
    clock.advance(601_000);
    expect((await reply).code).toBe(2);
    expect(await theRecord(world, { kind: 'end', path: '/hold' })).toMatchObject({ ended: 'timeout' });
  });

  it('a connection without streams is told to go after a while', async () => {
    const one = await client();
    await one.ask('GET /');
    clock.advance(121_000);
    await eventually(() => one.session.closed || one.session.destroyed);
    await eventually(async () => (await records(world, { kind: 'end', stage: 'connect' })).length === 1);
  });

  it('while the proxy drains, what is open ends and the client is told to go', async () => {
    const one = await client();
    const { stream, reply } = await hold(one);
    const stopped = world.proxy.stop();
    await eventually(() => one.session.closed);
    streams.at(-1)?.end('last');
    stream.end();
    expect((await reply).body.toString()).toBe('held.last');
    await stopped;
  });
});
