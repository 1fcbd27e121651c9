/** Held requests of every protocol and of real clients: what waits, what goes on beside it, and that bodies arrive whole. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { decide, held, theHeld } from '../helpers/approvals.ts';
import { connectH2, replyTo } from '../helpers/h2.ts';
import { describeWith } from '../helpers/programs.ts';
import { runProgram } from '../helpers/run-program.ts';
import { policy } from '../helpers/scene.ts';
import { socksTls } from '../helpers/socks.ts';
import { connectTls, open, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { nextMessage, type WsUpstream, wsThrough, wsUpstream } from '../helpers/websocket.ts';
import { eventually, makeWorld, upstreamContext, type World } from '../helpers/world.ts';

describe('a held request', () => {
  let world: World;
  let web: Upstream;
  let plain: Upstream;
  let ws: WsUpstream;
  let clients: Talk[] = [];
  const at = { web: '', plain: '', ws: '' };

  beforeAll(async () => {
    web = await httpUpstream({ name: 'pay.test' });
    plain = await httpUpstream();
    ws = await wsUpstream({ name: 'ws.test' });
    at.web = `pay.test:${web.port}`;
    at.plain = `plain.test:${plain.port}`;
    at.ws = `ws.test:${ws.port}`;
    const more = 'wait: 1m, addresses: [127.0.0.0/8]';
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          `approve: "${at.web}", methods: [POST], http2: prefer, ${more}`,
          `allow: "${at.web}", methods: [GET], http2: prefer, addresses: [127.0.0.0/8]`,
          `approve: ["${at.plain}", "${at.ws}"], ${more}`,
        ]),
      },
      hosts: { 'pay.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'], 'ws.test': ['127.0.0.1'] },
    });
  });
  afterEach(async () => {
    for (const client of clients) client.destroy();
    clients = [];
    await eventually(() => held(world).length === 0);
    web.seen.length = 0;
    plain.seen.length = 0;
  });
  afterAll(async () => {
    await world.stop();
    for (const one of [web, plain, ws]) await one.close();
  });

  const own = (client: Talk): Talk => {
    clients.push(client);
    return client;
  };
  const text = (host: string, body = 'x', fields = ''): string =>
    `POST /charge HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`;

  it.each<[string, () => Promise<Talk>, () => string, () => Upstream]>([
    [
      'CONNECT and TLS',
      () => connectTls(world.port, at.web, { ca: world.caPem }),
      () => text(at.web),
      () => web,
    ],
    [
      'SOCKS5 and TLS',
      () => socksTls(world.port, at.web, { ca: world.caPem }),
      () => text(at.web),
      () => web,
    ],
    [
      'an https: URL in absolute-form',
      () => open(world.port),
      () => text(at.web).replace('/charge', `https://${at.web}/charge`),
      () => web,
    ],
    [
      'plain HTTP',
      () => open(world.port),
      () => text(at.plain).replace('/charge', `http://${at.plain}/charge`),
      () => plain,
    ],
  ])('that came by %s waits and goes on', async (_way, dial, request, upstream) => {
    const client = own(await dial());
    client.write(request());
    const view = await theHeld(world, ({ body }) => body?.whole === true);
    expect(upstream().seen).toEqual([]);
    await decide(world, view.id);
    expect((await client.reply()).body.toString()).toBe('POST /charge 1');
  });

  it('keeps what was pipelined behind it waiting, and then in order', async () => {
    const client = own(await connectTls(world.port, at.web, { ca: world.caPem }));
    client.write(`${text(at.web)}GET /after HTTP/1.1\r\nHost: ${at.web}\r\n\r\n${text(at.web, 'second')}`);
    await decide(world, (await theHeld(world)).id);
    expect((await client.reply()).body.toString()).toBe('POST /charge 1');
    expect((await client.reply()).body.toString()).toBe('GET /after 0');
    const { id } = await theHeld(world, ({ body }) => body?.whole === true);
    await decide(world, id, { decision: 'deny' });
    expect((await client.reply()).status).toBe(403);
    expect(web.seen).toHaveLength(2);
  });

  it('on a stream of HTTP/2 lets the other streams of its connection go on', async () => {
    const client = await connectH2(world.port, at.web, { ca: world.caPem });
    const stream = client.request('POST /charge', {}, { endStream: false });
    const reply = replyTo(stream);
    // More than the window of a stream, and nothing of it is read: the connection must not be full of it.
    stream.write(Buffer.alloc(1024 * 1024, 'a'));
    const view = await theHeld(world, ({ body }) => (body?.bytes ?? 0) >= 65_536);
    const others = await Promise.all(Array.from({ length: 20 }, (_, n) => client.ask(`GET /${n}`)));
    expect(others.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    stream.end();
    await decide(world, view.id);
    expect((await reply).body.toString()).toBe(`POST /charge ${1024 * 1024}`);
    client.close();
  });

  it('on a stream of HTTP/2 is withdrawn when that stream is cancelled', async () => {
    const client = await connectH2(world.port, at.web, { ca: world.caPem });
    const stream = client.request('POST /charge', {}, { endStream: false });
    stream.on('error', () => {});
    stream.write(Buffer.alloc(200_000, 'a'));
    await theHeld(world, ({ body }) => (body?.bytes ?? 0) >= 65_536);
    stream.close(8);
    await eventually(() => held(world).length === 0);
    expect((await client.ask('GET /still')).status).toBe(200);
    client.close();
  });

  it('to become a WebSocket is shown as one, and talks after a yes', async () => {
    const socket = await wsThrough(world, `wss://${at.ws}/`);
    const view = await theHeld(world);
    expect(view).toMatchObject({ method: 'GET', protocol: 'websocket', body: null });
    await decide(world, view.id);
    await once(socket, 'open');
    socket.send('hello');
    expect(await nextMessage(socket)).toContain('hello');
    socket.terminate();
  });

  it('hears 100 Continue from the upstream, so after a yes', async () => {
    const server = https.createServer({
      SNICallback: (_name, done) => done(null, upstreamContext('pay.test')),
    });
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      response.writeContinue();
      let bytes = 0;
      request.on('data', (piece: Buffer) => {
        bytes += piece.length;
      });
      request.on('end', () => response.end(String(bytes)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bound = server.address();
    const host = `pay.test:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
    world.setPolicy(
      'more.yaml',
      policy([`approve: "${host}", addresses: [127.0.0.0/8]`], { group: 'more', sources: '127.0.0.2/32' }),
    );
    const client = own(await connectTls(world.port, host, { ca: world.caPem, localAddress: '127.0.0.2' }));
    client.write(
      `POST /charge HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`,
    );
    const { id } = await theHeld(world);
    expect(client.socket.bytesRead).toBe(0);
    await decide(world, id);
    expect((await client.head()).status).toBe(100);
    client.write('hello');
    expect((await client.reply()).body.toString()).toBe('5');
    server.closeAllConnections();
    server.close();
  });

  describeWith(['curl'], 'of curl', () => {
    it('waits, with and without HTTP/2, and curl shows the answer of the upstream or the reason', async () => {
      const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-held-'));
      const ca = path.join(dir, 'ca.pem');
      writeFileSync(ca, world.caPem);
      for (const version of ['--http1.1', '--http2']) {
        const args = [
          '-sS',
          version,
          '--proxy',
          `http://127.0.0.1:${world.port}`,
          '--cacert',
          ca,
          '-d',
          'a=1',
        ];
        const yes = runProgram('curl', [...args, `https://${at.web}/curl`], { env: {}, cwd: dir });
        await decide(world, (await theHeld(world)).id);
        expect(await yes).toMatchObject({ status: 0, stdout: 'POST /curl 3' });
        const no = runProgram('curl', [...args, '-o', '-', '-w', '%{http_code}', `https://${at.web}/curl`], {
          env: {},
          cwd: dir,
        });
        await decide(world, (await theHeld(world)).id, { decision: 'deny', reason: 'Not today.' });
        expect((await no).stdout).toMatch(/"detail":"Not today\."[\s\S]*403$/);
      }
      rmSync(dir, { recursive: true });
    });

    it('is withdrawn when curl is killed', async () => {
      const url = `http://${at.plain}/killed`;
      const curl = spawn('curl', ['-sS', '--proxy', `http://127.0.0.1:${world.port}`, '-d', 'a=1', url]);
      await theHeld(world);
      curl.kill('SIGKILL');
      await eventually(() => held(world).length === 0);
      expect(plain.seen).toEqual([]);
    });
  });
});

describe('a flood of held requests', () => {
  let world: World;
  let web: Upstream;
  const clients: Talk[] = [];

  beforeAll(async () => {
    web = await httpUpstream();
    const rules = [`approve: "pay.test:${web.port}", wait: 1m, addresses: [127.0.0.0/8]`];
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(rules, { sources: '127.0.0.1/32, 127.0.0.3/32' }),
        'others.yaml': policy(rules, { group: 'others', sources: '127.0.0.2/32' }),
      },
      hosts: { 'pay.test': ['127.0.0.1'] },
      caps: { waiting: 80, aheadBytes: 256 * 1024 },
    });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await eventually(() => held(world).length === 0);
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  const send = async (target: string, from: string, body = ''): Promise<Talk> => {
    const client = await open(world.port, { localAddress: from });
    clients.push(client);
    const host = `pay.test:${web.port}`;
    client.write(
      `POST http://${host}${target} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    return client;
  };

  it('fills the places of who sends it, and leaves room for others of its group and of other groups', async () => {
    for (let call = 0; call < 20; call += 1) await send(`/${call}`, '127.0.0.1');
    await eventually(() => held(world).length === 20);
    const beyond = await send('/beyond', '127.0.0.1');
    const reply = await beyond.reply();
    expect(reply.json()).toMatchObject({ status: 503, reason: 'overloaded' });
    expect(Number(reply.field('retry-after'))).toBeGreaterThan(0);
    await send('/neighbour', '127.0.0.3');
    await send('/other', '127.0.0.2');
    await eventually(() => held(world).length === 22);
    expect(web.seen).toEqual([]);
  });

  it('of the same call fills one entry and no more than its group has', async () => {
    for (let call = 0; call < 70; call += 1) await send('/same', '127.0.0.1');
    await eventually(() => (held(world)[0]?.waiting ?? 0) >= 60 && held(world).length === 1);
    expect(held(world)[0]?.waiting).toBeLessThanOrEqual(60);
    await send('/other', '127.0.0.2');
    await eventually(() => held(world).length === 2);
  });

  it('of bodies is refused once the group has no room for them, and the room comes back', async () => {
    const piece = 'x'.repeat(40 * 1024);
    const sent = await Promise.all(Array.from({ length: 10 }, (_, n) => send(`/${n}`, '127.0.0.1', piece)));
    const refused = await Promise.race(sent.map((client) => client.reply()));
    expect(refused.json()).toMatchObject({ reason: 'overloaded' });
    for (const client of clients.splice(0)) client.destroy();
    await eventually(() => held(world).length === 0);
    await send('/later', '127.0.0.1', piece);
    await theHeld(world, ({ body }) => body?.bytes === piece.length);
  });
});
