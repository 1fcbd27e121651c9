/**
 * Held requests with bodies of 50 MiB, of every protocol that carries one: while they wait nearly all of it stays with the
 * client, and after a yes every byte arrives.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { decide, held, theHeld } from '../helpers/approvals.ts';
import { connectH2, replyTo } from '../helpers/h2.ts';
import { policy } from '../helpers/scene.ts';
import { connectTls, open, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { told, type WsUpstream, wsThrough, wsUpstream } from '../helpers/websocket.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const BIG = 50 * 1024 * 1024;
const PIECE = 1024 * 1024;
/** What a body may take while it waits: what is read ahead, socket buffers, slack. */
const AHEAD = 4 * 1024 * 1024;
const LIMIT_MS = 120_000;

/** A body that is made as it is sent; its digest. */
async function pour(into: Writable, chunked: boolean): Promise<string> {
  const sum = createHash('sha256');
  for (let index = 0; index < BIG / PIECE; index += 1) {
    const piece = Buffer.alloc(PIECE, createHash('sha256').update(String(index)).digest());
    sum.update(piece);
    const parts = chunked ? [`${PIECE.toString(16)}\r\n`, piece, '\r\n'] : [piece];
    let more = true;
    for (const part of parts) more = into.write(part);
    if (!more) await once(into, 'drain');
  }
  if (chunked) into.write('0\r\n\r\n');
  return sum.digest('hex');
}

const digestOf = (body: Buffer | undefined): string =>
  createHash('sha256')
    .update(body ?? '')
    .digest('hex');

describe('a held request with 50 MiB', () => {
  let world: World;
  let web: Upstream;
  let plain: Upstream;
  let ws: WsUpstream;
  const clients: Talk[] = [];
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
          `approve: ["${at.plain}", "${at.ws}"], ${more}`,
        ]),
      },
      hosts: { 'pay.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'], 'ws.test': ['127.0.0.1'] },
    });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await eventually(() => held(world).length === 0);
    web.seen.length = 0;
    plain.seen.length = 0;
  });
  afterAll(async () => {
    await world.stop();
    for (const one of [web, plain, ws]) await one.close();
  });

  /** Waits until the client can send no more; nobody reads on. */
  const stalled = async (sent: () => number): Promise<void> => {
    await theHeld(world, ({ body }) => (body?.bytes ?? 0) >= 65_536);
    let before = -1;
    await eventually(() => {
      const now = sent();
      const still = now === before;
      before = now;
      return still;
    });
    expect(held(world)[0]?.body?.bytes).toBeLessThan(AHEAD);
  };

  const tls = (): Promise<Talk> => connectTls(world.port, at.web, { ca: world.caPem });
  it.each<[string, () => Promise<Talk>, () => [string, Upstream], 'length' | 'chunked']>([
    ['over TLS, with a length', tls, () => [`POST /big HTTP/1.1\r\nHost: ${at.web}`, web], 'length'],
    ['over TLS, in chunks', tls, () => [`POST /big HTTP/1.1\r\nHost: ${at.web}`, web], 'chunked'],
    [
      'over plain HTTP',
      () => open(world.port),
      () => [`POST http://${at.plain}/big HTTP/1.1\r\nHost: ${at.plain}`, plain],
      'length',
    ],
    [
      'over plain HTTP, in chunks',
      () => open(world.port),
      () => [`POST http://${at.plain}/big HTTP/1.1\r\nHost: ${at.plain}`, plain],
      'chunked',
    ],
  ])(
    '%s waits at its client, and arrives whole after a yes',
    async (_way, dial, request, how) => {
      const client = await dial();
      clients.push(client);
      const [line, upstream] = request();
      const framing = how === 'length' ? `Content-Length: ${BIG}` : 'Transfer-Encoding: chunked';
      client.write(`${line}\r\n${framing}\r\n\r\n`);
      const poured = pour(client.socket, how === 'chunked');
      await stalled(() => client.socket.bytesWritten - client.socket.writableLength);
      const [view] = held(world);
      expect(view?.body).toMatchObject({ whole: false, length: how === 'length' ? BIG : null });
      await decide(world, view?.id ?? '');
      const digest = await poured;
      expect((await client.reply({ limitMs: LIMIT_MS })).body.toString()).toBe(`POST /big ${BIG}`);
      expect(digestOf(upstream.seen[0]?.body)).toBe(digest);
    },
    LIMIT_MS,
  );

  it(
    'on a stream of HTTP/2 waits at its client, and arrives whole after a yes',
    async () => {
      const client = await connectH2(world.port, at.web, { ca: world.caPem });
      const stream = client.request('POST /big', { 'content-length': String(BIG) }, { endStream: false });
      const reply = replyTo(stream);
      const poured = pour(stream, false);
      await stalled(() => client.socket.bytesWritten - client.socket.writableLength);
      await decide(world, held(world)[0]?.id ?? '');
      const digest = await poured;
      stream.end();
      expect((await reply).body.toString()).toBe(`POST /big ${BIG}`);
      expect(digestOf(web.seen[0]?.body)).toBe(digest);
      client.close();
    },
    LIMIT_MS,
  );

  it(
    'that becomes a WebSocket sends nothing before a yes, and 50 MiB of messages after it',
    async () => {
      const socket = await wsThrough(world, `wss://${at.ws}/live`);
      const { id } = await theHeld(world);
      expect(ws.handshakes).toHaveLength(0);
      await decide(world, id);
      await once(socket, 'open');
      for (let index = 0; index < BIG / PIECE; index += 1) {
        const piece = Buffer.alloc(PIECE, createHash('sha256').update(String(index)).digest());
        const back = told(socket, 'message');
        socket.send(piece);
        expect(digestOf(await back)).toBe(digestOf(piece));
      }
      socket.terminate();
    },
    LIMIT_MS,
  );
});
