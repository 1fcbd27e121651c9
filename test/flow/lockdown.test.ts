/** The kill switch against everything that can be open: it ends within a second, and nothing new begins. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import type http from 'node:http';
import path from 'node:path';
import { decode, encode } from 'dns-packet';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectH2, type H2Client, replyTo } from '../helpers/h2.ts';
import { intercepted, metric, policy, records, tunnelled } from '../helpers/scene.ts';
import { socks, trySocks } from '../helpers/socks.ts';
import { askOnce, connect, connectTls, open, type Talk, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { closeOf, type WsUpstream, wsThrough, wsUpstream } from '../helpers/websocket.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

/** The contract's second, and room for a machine that does other things beside this test. */
const LIMIT_MS = 5_000;
const BY = { by: 'ann', reason: 'incident 42' } as const;

describe('lockdown', () => {
  let web: Upstream;
  let plain: Upstream;
  let ws: WsUpstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  const at = { raw: '', web: '', plain: '', ws: '' };
  const opened: { destroy(): void }[] = [];

  beforeAll(async () => {
    const answer = (request: { url: string }, response: http.ServerResponse): void => {
      if (request.url === '/once') return void response.end('done');
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      return void response.write('data: 1\n\n');
    };
    web = await httpUpstream({ name: 'web.test', answer });
    plain = await httpUpstream({ answer });
    ws = await wsUpstream({ name: 'ws.test' });
    raw = await rawUpstream((socket) => socket.pipe(socket));
    at.raw = `raw.test:${raw.port}`;
    at.web = `web.test:${web.port}`;
    at.plain = `plain.test:${plain.port}`;
    at.ws = `ws.test:${ws.port}`;
  });
  afterAll(async () => {
    for (const upstream of [web, plain, ws, raw]) await upstream.close();
  });

  const rules = [
    (): string => tunnelled(at.raw, 'protocol: any'),
    () => intercepted(at.web),
    () => intercepted(at.plain),
    () => intercepted(at.ws),
  ];
  beforeEach(async () => {
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(
          rules.map((rule) => rule()),
          { sources: '127.0.0.1/32' },
        ),
        'others.yaml': policy(
          rules.map((rule) => rule()),
          { group: 'others', sources: '127.0.0.2/32' },
        ),
      },
      hosts: Object.fromEntries(['raw', 'web', 'plain', 'ws'].map((name) => [`${name}.test`, ['127.0.0.1']])),
      settings:
        'transparent: { dns: "127.0.0.1:0", tls: "127.0.0.1:0", http: "127.0.0.1:0", address: 127.0.0.9 }\n',
    });
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) one.destroy();
    await world.stop();
  });
  const keep = <T extends { destroy(): void }>(one: T): T => {
    opened.push(one);
    return one;
  };
  const lock = (group = '*'): Promise<boolean> => world.proxy.parts.lockdown.lock({ group, ...BY });
  const get = (name: string, where: string, target = name): string =>
    `GET ${target} HTTP/1.1\r\nHost: ${where}\r\n\r\n`;

  /** One flow of every kind; each is a promise that it is over. */
  const openAll = async (): Promise<[string, Promise<unknown>][]> => {
    const { port, caPem: ca } = world;
    const over = (client: Talk): Promise<unknown> => keep(client).over(LIMIT_MS);
    const tunnel = await connect(port, at.raw);
    const bySocks = await socks(port, at.raw);
    const idle = await connectTls(port, at.web, { ca });
    expect((await idle.ask(get('/once', at.web))).status).toBe(200);
    const stream = await connectTls(port, at.web, { ca });
    stream.write(get('/events', at.web));
    await stream.bytes(20);
    const absolute = await open(port);
    absolute.write(get('/events', at.plain, `http://${at.plain}/events`));
    await absolute.bytes(20);
    const seen = await open(world.proxy.transparent.http?.port ?? 0);
    seen.write(get('/events', at.plain));
    await seen.bytes(20);
    const h2: H2Client = await connectH2(port, at.web, { ca });
    keep({ destroy: () => h2.close() });
    const h2Stream = h2.request('GET /events');
    const h2Over = replyTo(h2Stream);
    await once(h2Stream, 'data');
    const socket = await wsThrough(world, `wss://${at.ws}/`);
    keep({ destroy: () => socket.terminate() });
    await once(socket, 'open');
    return [
      ['a tunnel', over(tunnel)],
      ['a tunnel by SOCKS', over(bySocks)],
      ['an idle intercepted connection', over(idle)],
      ['a streaming response', over(stream)],
      ['a plain streaming response', over(absolute)],
      ['a request on the transparent listener', over(seen)],
      ['a stream of HTTP/2', h2Over],
      ['a WebSocket', closeOf(socket)],
    ];
  };

  it('ends everything that is open, upstream connections too, and records each end with its reason', async () => {
    const flows = await openAll();
    const { live, pool } = world.proxy.parts;
    expect(live.connectionsOpen().length).toBeGreaterThanOrEqual(flows.length);
    const started = Date.now();
    await lock();
    for (const [name, over] of flows) {
      await over.catch(() => {
        throw new Error(`${name} lives on`);
      });
    }
    await eventually(
      () => live.connectionsOpen().length === 0 && pool.stats().busy + pool.stats().idle === 0,
    );
    expect(Date.now() - started).toBeLessThan(LIMIT_MS);
    const cut = await records(world, { kind: 'end', ended: 'cut' });
    expect(cut.length).toBeGreaterThanOrEqual(flows.length);
    expect(new Set(cut.map((one) => one['reason']))).toEqual(new Set(['locked_down']));
  });

  it('closes the idle upstream connections of its group, and of no other', async () => {
    const client = keep(await connectTls(world.port, at.web, { ca: world.caPem }));
    expect((await client.ask(get('/once', at.web))).status).toBe(200);
    const { pool } = world.proxy.parts;
    await eventually(() => pool.stats().idle === 1);
    await lock('others');
    expect(pool.stats().idle).toBe(1);
    await lock('agents');
    await eventually(() => pool.stats().idle === 0);
  });

  it('refuses whatever comes, with 503 and words that name no reason, and dials nothing', async () => {
    const before = raw.connections() + web.connections() + plain.connections();
    await lock();
    const { client, answer } = await tryConnect(world.port, at.raw);
    client.destroy();
    expect(answer.json()).toMatchObject({ status: 503, reason: 'locked_down' });
    expect(answer.field('retry-after')).toBeDefined();
    expect(JSON.stringify(answer.json())).not.toContain(BY.reason);
    const absolute = await askOnce(world.port, get('/', at.plain, `http://${at.plain}/`));
    expect(absolute.json()).toMatchObject({ status: 503, reason: 'locked_down' });
    expect((await trySocks(world.port, at.raw)).code).toBe(1);
    // Not even which hosts there would be.
    const unknown = await tryConnect(world.port, 'unknown.test:443');
    unknown.client.destroy();
    expect(unknown.answer.json()).toMatchObject({ reason: 'locked_down' });
    expect(raw.connections() + web.connections() + plain.connections()).toBe(before);
    expect(await records(world, { kind: 'decision', reason: 'locked_down' })).toHaveLength(4);
  });

  it('of one group leaves the others alone', async () => {
    const other = keep(await connect(world.port, at.raw, { localAddress: '127.0.0.2' }));
    const own = keep(await connect(world.port, at.raw));
    await lock('agents');
    await own.over(LIMIT_MS);
    other.write('still here');
    expect((await other.bytes(10)).toString()).toBe('still here');
    expect((await tryConnect(world.port, at.raw)).answer.status).toBe(503);
    keep(await connect(world.port, at.raw, { localAddress: '127.0.0.2' }));
    expect(await metric(world, 'sallyport_lockdown{group="agents"}')).toBe(1);
    expect(await metric(world, 'sallyport_lockdown{group="others"}')).toBe(0);
    expect(await metric(world, 'sallyport_lockdown{group="*"}')).toBe(0);
  });

  it('leaves health, the environment and the metrics up', async () => {
    await lock();
    for (const question of ['/healthz', '/env', '/ca.pem']) {
      expect((await askOnce(world.port, get(question, 'sallyport'))).status).toBe(200);
    }
    expect(await metric(world, 'sallyport_lockdown{group="*"}')).toBe(1);
  });

  it('ends what waits for a person, and nobody can say yes to it any more', async () => {
    const approve = `approve: "${at.plain}", methods: [POST], addresses: [127.0.0.0/8]`;
    world.setPolicy('agents.yaml', policy([approve], { sources: '127.0.0.1/32' }));
    const before = plain.seen.length;
    const client = keep(await open(world.port));
    client.write(`POST http://${at.plain}/pay HTTP/1.1\r\nHost: ${at.plain}\r\nContent-Length: 0\r\n\r\n`);
    const { approvals } = world.proxy.parts;
    const [held] = await eventually(() => {
      const list = approvals.list();
      return list.length > 0 && list;
    });
    await lock('agents');
    expect((await client.reply()).json()).toMatchObject({ status: 503, reason: 'locked_down' });
    expect(approvals.list()).toEqual([]);
    expect(held).toBeDefined();
    expect(plain.seen.length).toBe(before);
  });

  it('is over when it is lifted', async () => {
    await lock();
    expect((await tryConnect(world.port, at.raw)).answer.status).toBe(503);
    await world.proxy.parts.lockdown.unlock('*');
    keep(await connect(world.port, at.raw));
  });

  it('lets the name server refuse names, without saying that they do not exist', async () => {
    const ask = async (): Promise<string> => {
      const socket = createSocket('udp4');
      const answer = once(socket, 'message');
      const question = encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'web.test' }] });
      socket.send(question, world.proxy.transparent.dns?.port ?? 0, '127.0.0.1');
      const came: unknown[] = await answer;
      socket.close();
      const [bytes] = came;
      const reply = Buffer.isBuffer(bytes) ? decode(bytes) : {};
      return 'rcode' in reply ? String(reply.rcode) : '';
    };
    expect(await ask()).toBe('NOERROR');
    await lock('agents');
    expect(await ask()).toBe('REFUSED');
    expect(await records(world, { via: 'transparent-dns', kind: 'decision' })).toMatchObject([
      { reason: 'locked_down' },
    ]);
  });

  it('by a file that somebody makes and takes away, recorded as such', async () => {
    const tunnel = keep(await connect(world.port, at.raw));
    const file = path.join(world.dir, '.sallyport', 'lockdown');
    writeFileSync(file, 'fire in the server room\n');
    await tunnel.over(LIMIT_MS);
    rmSync(file);
    await eventually(async () => {
      const { client, answer } = await tryConnect(world.port, at.raw);
      client.destroy();
      return answer.status === 200;
    });
    const found = await eventually(async () => {
      const some = await records(world, { kind: 'operator' });
      return some.length === 2 && some;
    });
    expect(found).toMatchObject([
      { action: 'lockdown.on', operator: 'file', origin: 'file', group: '*', outcome: 'done' },
      { action: 'lockdown.off', operator: 'file', origin: 'file', group: '*', outcome: 'done' },
    ]);
  });
});
