/** WebSocket through interception and in the clear: real `ws` on both ends, and the record of it. */
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { intercepted, metric, placeholderIn, policy, profile, theRecord } from '../helpers/scene.ts';
import { askOnce, connectTls, open } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import {
  closeOf,
  frameOf,
  handshakeText,
  nextMessage,
  told,
  type WsUpstream,
  wsThrough,
  wsUpstream,
} from '../helpers/websocket.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD';

describe('a WebSocket', () => {
  const clock = movableClock();
  let world: World;
  let upstream: WsUpstream;
  let plain: WsUpstream;
  let keyless: WsUpstream;
  let http: Upstream;
  let placeholder: string;
  const at = { ws: '', plain: '', keyless: '', http: '' };
  const rules = (...more: string[]): string =>
    policy(
      [
        intercepted(at.ws, 'idle: 60s'),
        intercepted(at.plain),
        intercepted(at.keyless),
        intercepted(at.http),
        intercepted('low.test:80'),
        ...more,
      ],
      { more: 'profile: keys\n' },
    );

  beforeAll(async () => {
    upstream = await wsUpstream({ name: 'ws.test', deflate: true });
    plain = await wsUpstream();
    keyless = await wsUpstream({ name: 'keyless.test', deflate: true });
    http = await httpUpstream({
      name: 'http.test',
      answer: (_request, response) => {
        response.writeHead(426, { 'Content-Type': 'text/plain', Upgrade: 'websocket' });
        response.end('not here');
      },
    });
    at.ws = `ws.test:${upstream.port}`;
    at.plain = `plain.test:${plain.port}`;
    at.keyless = `keyless.test:${keyless.port}`;
    at.http = `http.test:${http.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': rules(),
        'profiles/keys.yaml': profile([
          { env: 'API_KEY', from: 'file:key', hosts: [at.ws], in: ['header', 'query'] },
        ]),
      },
      files: { key: REAL },
      hosts: {
        'ws.test': ['127.0.0.1'],
        'plain.test': ['127.0.0.1'],
        'keyless.test': ['127.0.0.1'],
        'low.test': ['127.0.0.80'],
        'http.test': ['127.0.0.1'],
      },
      clock,
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    placeholder = placeholderIn(env.json(), 'API_KEY');
  });

  afterAll(async () => {
    await world.stop();
    for (const one of [upstream, plain, keyless, http]) await one.close();
  });

  const opened = async (path: string, options: Parameters<typeof wsThrough>[2] = {}): Promise<WebSocket> => {
    const socket = await wsThrough(world, `wss://${at.ws}${path}`, options);
    await once(socket, 'open');
    return socket;
  };

  it('opens with its keys put into head and query, and carries messages both ways', async () => {
    const socket = await opened(`/swap?key=${placeholder}`, {
      headers: { Authorization: `Bearer ${placeholder}` },
      protocols: ['chat'],
    });
    expect(socket.protocol).toBe('chat');
    socket.send('hello');
    expect(await nextMessage(socket)).toBe('hello');
    const seen = upstream.handshakes.find(({ url }) => url?.startsWith('/swap') === true);
    expect(seen?.url).toBe(`/swap?key=${REAL}`);
    expect(seen?.headers).toMatchObject({
      authorization: `Bearer ${REAL}`,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
    });
    socket.close(4001, 'bye');
    await closeOf(socket);
    expect(await eventually(() => upstream.closed.find(([code]) => code === 4001))).toEqual([4001, 'bye']);
    const end = await theRecord(world, { kind: 'end', path: '/swap?…' });
    expect(end).toMatchObject({ status: 101, ended: 'done', treat: 'intercept', keys: ['API_KEY'] });
    expect(Number(end['bytes_up'])).toBeGreaterThan(5);
    expect(Number(end['bytes_down'])).toBeGreaterThan(5);
  });

  it.each([
    [
      'compressed, where no key is bound',
      () => `wss://${at.keyless}/bulk`,
      { perMessageDeflate: true },
      true,
    ],
    ['searched for keys', () => `wss://${at.ws}/bulk`, { perMessageDeflate: true }, false],
    ['not compressed', () => `wss://${at.ws}/bulk`, { perMessageDeflate: false }, false],
  ])(
    'carries large, fragmented and binary messages, %s, byte for byte',
    async (_how, url, options, isCompressed) => {
      const socket = await wsThrough(world, url(), options);
      await once(socket, 'open');
      expect(socket.extensions.includes('permessage-deflate')).toBe(isCompressed);
      const large = Array.from({ length: 300_000 }, (_, n) => n.toString(36)).join(' ');
      socket.send(large);
      expect(await nextMessage(socket)).toBe(large);
      socket.send('in ', { fin: false });
      socket.send('pieces', { fin: true });
      expect(await nextMessage(socket)).toBe('in pieces');
      const binary = Buffer.from(Uint8Array.from({ length: 70_000 }, (_, n) => n * 7));
      socket.send(binary);
      expect(await told(socket, 'message')).toEqual(binary);
      socket.terminate();
    },
  );

  it('passes pings, pongs and the close of the server', async () => {
    const socket = await opened('/ping');
    socket.ping('are you there');
    expect(String(await told(socket, 'pong'))).toBe('are you there');
    const server = [...upstream.sockets].at(-1);
    server?.ping('and you');
    expect(String(await told(socket, 'ping'))).toBe('and you');
    server?.close(4005, 'enough');
    expect(await closeOf(socket)).toEqual({ code: 4005, reason: 'enough' });
  });

  it('works in the clear, asked for in absolute form', async () => {
    const raw = await open(world.port);
    raw.write(handshakeText(at.plain, `http://${at.plain}/absolute`));
    expect((await raw.head()).status).toBe(101);
    raw.write(frameOf('over there'));
    expect((await raw.bytes(12)).subarray(2).toString()).toBe('over there');
    raw.destroy();
    expect(plain.handshakes.at(-1)).toMatchObject({ url: '/absolute', headers: { host: at.plain } });
    const end = await theRecord(world, { kind: 'end', path: '/absolute' });
    expect(end).toMatchObject({ status: 101, treat: 'plain', bytes_up: 16, bytes_down: 12 });
  });

  it('works in the clear, tunnelled by CONNECT to port 80', async (test) => {
    const low = await wsUpstream({ host: '127.0.0.80', port: 80 }).catch(() => null);
    if (low === null) return test.skip('port 80 may not be listened on here');
    const socket = await wsThrough(world, 'ws://low.test/connect');
    await once(socket, 'open');
    socket.send('hello');
    expect(await nextMessage(socket)).toBe('hello');
    socket.terminate();
    await low.close();
  });

  it('that is not granted gets the ordinary answer, and the connection ends behind it', async () => {
    const client = await connectTls(world.port, at.http, { ca: world.caPem });
    client.write(handshakeText(at.http));
    const answer = await client.reply();
    expect(answer).toMatchObject({ status: 426 });
    expect(answer.body.toString()).toBe('not here');
    expect(answer.field('connection')).toBe('close');
    await client.over();
    client.destroy();
  });

  it('is listed among what is open, and counted as one request when it ends', async () => {
    const socket = await opened('/open');
    const flows = world.proxy.parts.live.connectionsOpen();
    expect(flows.some(({ target }) => target.host === 'ws.test')).toBe(true);
    const series = 'sallyport_requests_total{group="agents",treat="intercept",status_class="1xx"}';
    const before = await metric(world, series);
    socket.close();
    await closeOf(socket);
    await eventually(async () => (await metric(world, series)) === before + 1);
  });

  it('lives as long as one side says something, and ends when neither does for as long as the rule allows', async () => {
    const socket = await opened('/idle');
    for (let n = 0; n < 4; n += 1) {
      clock.advance(30_000);
      world.proxy.parts.live.tick(clock.mono());
      socket.ping();
      await once(socket, 'pong');
    }
    clock.advance(61_000);
    const closed = closeOf(socket);
    world.proxy.parts.live.tick(clock.mono());
    expect((await closed).code).toBe(1006);
    await eventually(async () =>
      (await world.audit()).some((one) => one['path'] === '/idle' && one['ended'] === 'timeout'),
    );
  });

  it('ends within a reload that takes its rule away, and with its token', async () => {
    const socket = await opened('/reload');
    const closed = closeOf(socket);
    world.setPolicy('agents.yaml', policy([intercepted(at.plain)]));
    expect((await closed).code).toBe(1006);
    await eventually(async () =>
      (await world.audit()).some((one) => one['path'] === '/reload' && one['ended'] === 'cut'),
    );
    world.setPolicy('agents.yaml', rules());
    const { tokens } = world.proxy.parts;
    const { record, token } = tokens.create({ group: 'agents' });
    const raw = await connectTls(world.port, at.ws, {
      ca: world.caPem,
      headers: `Proxy-Authorization: Bearer ${token}\r\n`,
    });
    raw.write(handshakeText(at.ws, '/token'));
    expect((await raw.head()).status).toBe(101);
    tokens.revoke(record.id);
    await raw.over();
    raw.destroy();
  });

  it('says what the client sent with its handshake once the upstream has agreed', async () => {
    const client = await connectTls(world.port, at.ws, { ca: world.caPem });
    client.write(Buffer.concat([Buffer.from(handshakeText(at.ws, '/early')), frameOf('early bird')]));
    expect((await client.head()).status).toBe(101);
    expect((await client.bytes(12)).subarray(2).toString()).toBe('early bird');
    client.destroy();
  });

  it('is not read faster than the other side takes it', async () => {
    const socket = await opened('/slow', { perMessageDeflate: false });
    const server = [...upstream.sockets].at(-1);
    server?.pause();
    const chunk = Buffer.alloc(64 * 1024);
    for (let n = 0; n < 800; n += 1) socket.send(chunk);
    // The kernel's buffers hold some megabytes; the rest has to wait at the client.
    await eventually(() => socket.bufferedAmount > 0);
    const waiting = await eventually(() => {
      const now = socket.bufferedAmount;
      return now > 20 * 1024 * 1024 ? now : null;
    });
    expect(waiting).toBeGreaterThan(0);
    server?.resume();
    await eventually(() => socket.bufferedAmount === 0, 20_000);
    socket.terminate();
  });
});

describe('the budget of a group', () => {
  it.each([
    ['upload', 'upload: 20KiB/d'],
    ['download', 'download: 20KiB/d'],
  ])('counts what a WebSocket carries (%s), and cuts it when it is used up', async (_which, limit) => {
    const upstream = await wsUpstream({ name: 'ws.test' });
    const at = `ws.test:${upstream.port}`;
    const world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at)], { more: `limits: { ${limit} }\n` }) },
      hosts: { 'ws.test': ['127.0.0.1'] },
    });
    try {
      const socket = await wsThrough(world, `wss://${at}/budget`);
      await once(socket, 'open');
      socket.send('x'.repeat(9_000));
      await nextMessage(socket);
      const closed = closeOf(socket);
      socket.send('x'.repeat(15_000));
      expect((await closed).code).toBe(1006);
      const end = await theRecord(world, { kind: 'end', path: '/budget' });
      expect(end).toMatchObject({ ended: 'cut', reason: 'budget_spent', status: 101 });
    } finally {
      await world.stop();
      await upstream.close();
    }
  });
});
