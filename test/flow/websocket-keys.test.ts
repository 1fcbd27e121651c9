/** Keys in WebSocket messages (`in: [websocket]`): swapped in text, refused where they do not belong. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { intercepted, metric, placeholderIn, policy, profile, theRecord } from '../helpers/scene.ts';
import { askOnce, connectTls, open } from '../helpers/talk.ts';
import {
  closeOf,
  frameOf,
  handshakeText,
  nextMessage,
  type WsUpstream,
  wsThrough,
  wsUpstream,
} from '../helpers/websocket.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REAL = 'gw-REAL-0123456789abcdefghijklmnop';
const OTHER = 'ot-REAL-0123456789abcdefghijklmnop';
const QUOTED = 'qu"ted-0123456789abcdefghijklmnopq';

describe('a key in a message', () => {
  let world: World;
  let gateway: WsUpstream;
  let plain: WsUpstream;
  const at = { gateway: '', plain: '' };
  const mine = { gateway: '', other: '', quoted: '' };
  let theirs = '';
  const policyOf = (of: Parameters<typeof policy>[1]): string =>
    policy([intercepted(at.gateway), intercepted(at.plain), intercepted('other.test:443')], {
      ...of,
      more: 'profile: keys\n',
    });

  beforeAll(async () => {
    gateway = await wsUpstream({ name: 'gateway.test', deflate: { threshold: 0 } });
    plain = await wsUpstream();
    at.gateway = `gateway.test:${gateway.port}`;
    at.plain = `plain.test:${plain.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policyOf({ sources: '127.0.0.1/32' }),
        'others.yaml': policyOf({ group: 'others', sources: '127.0.0.2/32' }),
        'profiles/keys.yaml': profile([
          { env: 'GATEWAY', from: 'env:REAL', hosts: [at.gateway, at.plain], in: ['websocket', 'header'] },
          { env: 'OTHER', from: 'env:OTHER', hosts: ['other.test:443'], in: ['websocket'] },
          { env: 'HEADER_ONLY', from: 'env:OTHER', hosts: [at.gateway], in: ['header'] },
          { env: 'QUOTED', from: 'env:QUOTED', hosts: [at.gateway], in: ['websocket'] },
        ]),
      },
      hosts: { 'gateway.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'] },
      env: { REAL, OTHER, QUOTED },
    });
    const page = 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n';
    const env = (await askOnce(world.port, page)).json();
    mine.gateway = placeholderIn(env, 'GATEWAY');
    mine.other = placeholderIn(env, 'OTHER');
    mine.quoted = placeholderIn(env, 'QUOTED');
    const other = await askOnce(world.port, page, { localAddress: '127.0.0.2' });
    theirs = placeholderIn(other.json(), 'GATEWAY');
  });
  beforeEach(() => {
    gateway.seen.length = 0;
  });
  afterAll(async () => {
    await world.stop();
    await gateway.close();
    await plain.close();
  });

  const opened = async (path: string, options: Parameters<typeof wsThrough>[2] = {}): Promise<WebSocket> => {
    const socket = await wsThrough(world, `wss://${at.gateway}${path}`, options);
    await once(socket, 'open');
    return socket;
  };

  it.each([
    ['not compressed', false],
    ['compressed, one window for all messages', { threshold: 0 }],
    ['compressed, each by itself', { threshold: 0, clientNoContextTakeover: true }],
    ['compressed, with a small window', { threshold: 0, clientMaxWindowBits: 9 }],
  ])('arrives in place of the placeholder, %s', async (_how, perMessageDeflate) => {
    const socket = await opened('/swap', { perMessageDeflate });
    expect(socket.extensions.startsWith('permessage-deflate')).toBe(perMessageDeflate !== false);
    const texts = [
      JSON.stringify({ op: 2, d: { token: mine.gateway, intents: 513 } }),
      'no key in here, only text in here, text in here',
      `${mine.gateway} und ähnliches € ${mine.gateway}`,
      'a'.repeat(100_000) + mine.gateway,
      'a'.repeat(100_000),
    ];
    const wanted = texts.map((text) => text.replaceAll(mine.gateway, REAL));
    for (const text of texts) socket.send(text);
    await eventually(() => gateway.seen.length === texts.length);
    expect(gateway.seen.map(({ text }) => text)).toEqual(wanted);
    socket.send('{"tok', { fin: false });
    socket.ping('between');
    socket.send(`en":"${mine.gateway.slice(0, 9)}`, { fin: false });
    socket.send(`${mine.gateway.slice(9)}"}`, { fin: true });
    await eventually(() => gateway.seen.length === texts.length + 1);
    expect(gateway.seen.at(-1)?.text).toBe(`{"token":"${REAL}"}`);
    socket.terminate();
  });

  it('is named in the record and counted, once the connection is over', async () => {
    const series = 'sallyport_substitutions_total{group="agents",key="GATEWAY"}';
    const before = await metric(world, series);
    const socket = await opened('/named');
    socket.send(mine.gateway);
    await nextMessage(socket);
    socket.close();
    await closeOf(socket);
    const end = await theRecord(world, { kind: 'end', path: '/named' });
    expect(end).toMatchObject({ keys: ['GATEWAY'], status: 101, ended: 'done' });
    expect(await metric(world, series)).toBe(before + 1);
  });

  it('is not put into binary messages, which pass as they are', async () => {
    for (const perMessageDeflate of [false, { threshold: 0 }]) {
      const socket = await opened('/binary', { perMessageDeflate });
      const data = Buffer.concat([
        Buffer.from(`no key ${mine.gateway.slice(0, 6)}%41\\u0041`),
        randomBytes(200_000),
      ]);
      socket.send(data);
      await once(socket, 'message');
      expect(gateway.seen.at(-1)).toEqual({ text: data.toString(), binary: true });
      socket.terminate();
    }
  });

  const SENT: Readonly<Record<string, (socket: WebSocket, text: string) => void>> = {
    'a binary message': (socket, text) => socket.send(Buffer.from(`\u0000${text}\u0000`)),
    'fragments of bytes': (socket, text) => {
      socket.send(Buffer.from(`\u0000${text.slice(0, 4)}`), { fin: false, binary: true });
      socket.send(Buffer.from(`${text.slice(4)}\u0000`), { fin: true });
    },
    'a ping': (socket, text) => socket.ping(text),
    'a pong': (socket, text) => socket.pong(text),
    'the reason of a close': (socket, text) => socket.close(4000, text),
  };
  it.each(
    Object.keys(SENT).flatMap((how) => [false, { threshold: 0 }].map((deflate) => [how, deflate] as const)),
  )(
    'and a real key in %s end the connection before they leave, compression %j',
    async (how, perMessageDeflate) => {
      const placeholders = [
        [mine.gateway, 'placeholder_wrong_place'],
        [mine.other, 'placeholder_wrong_host'],
        [theirs, 'placeholder_unknown'],
      ] as const;
      const keys = [
        [REAL, 'secret_leak'],
        [Buffer.from(REAL).toString('base64'), 'secret_leak'],
      ] as const;
      // These repeat what the upstream said, in which a placeholder may stand for its key.
      const all = how === 'a pong' || how.includes('close') ? keys : [...placeholders, ...keys];
      for (const [text, reason] of all) {
        const socket = await opened('/bytes', { perMessageDeflate });
        const [on] = [...gateway.sockets].slice(-1);
        const heard: string[] = [];
        for (const event of ['ping', 'pong', 'message'] as const)
          on?.on(event, (bytes: Buffer) => heard.push(bytes.toString('latin1')));
        on?.on('close', (_code: number, why: Buffer) => heard.push(why.toString('latin1')));
        const closed = closeOf(socket);
        SENT[how]?.(socket, text);
        expect(await closed).toEqual({ code: 1008, reason });
        await eventually(() => on?.readyState === on?.CLOSED);
        expect(heard.join('\n')).not.toContain(text);
      }
    },
  );

  it.each([
    ['bound to another host', () => mine.other, 'placeholder_wrong_host'],
    ['of another identity', () => theirs, 'placeholder_unknown'],
    ['made up', () => `${mine.gateway.slice(0, -6)}AAAAAA`, 'placeholder_unknown'],
    ['whose key must not stand in JSON', () => mine.quoted, 'secret_unavailable'],
    ['that is the real key', () => REAL, 'secret_leak'],
    ['that is the real key of another host', () => OTHER, 'secret_leak'],
  ])('%s ends the connection before the message leaves', async (what, make, reason) => {
    const path = `/${reason}/${what.length}`;
    const socket = await opened(path, { perMessageDeflate: { threshold: 0 } });
    socket.send('first');
    await nextMessage(socket);
    const closed = closeOf(socket);
    socket.send('{"token":"', { fin: false });
    socket.send(`${make()}"}`, { fin: true });
    socket.send('after');
    expect(await closed).toEqual({ code: reason === 'secret_unavailable' ? 1013 : 1008, reason });
    expect(gateway.seen.map(({ text }) => text)).toEqual(['first']);
    const recorded = reason === 'secret_leak' ? { reason } : { path };
    const ends = await eventually(async () => {
      const all = await world.audit();
      const found = all.filter((one) => one['kind'] === 'end' && one['status'] === 101);
      return found
        .filter((one) => Object.entries(recorded).every(([key, value]) => one[key] === value))
        .at(-1);
    });
    expect(ends).toMatchObject({ ended: 'refused', reason });
  });

  it('misused is counted as misuse', async () => {
    const series = 'sallyport_placeholder_misuse_total{group="agents",reason="placeholder_wrong_host"}';
    const before = await metric(world, series);
    const socket = await opened('/counted');
    const closed = closeOf(socket);
    socket.send(mine.other);
    await closed;
    await eventually(async () => (await metric(world, series)) === before + 1);
  });

  it('is never sent in the clear', async () => {
    const raw = await open(world.port);
    raw.write(handshakeText(at.plain, `http://${at.plain}/clear`));
    expect((await raw.head()).status).toBe(101);
    raw.write(frameOf(mine.gateway));
    const close = await raw.rest();
    expect(close.subarray(4).toString()).toBe('secret_requires_tls');
    expect(plain.seen).toEqual([]);
    raw.destroy();
  });

  it('goes no more once the policy took it from the group, though the connection lives on', async () => {
    const socket = await opened('/taken');
    socket.send(mine.gateway);
    await nextMessage(socket);
    world.setPolicy('agents.yaml', `${policyOf({ sources: '127.0.0.1/32' })}exclude: [GATEWAY]\n`);
    const closed = closeOf(socket);
    socket.send(mine.gateway);
    const { code, reason } = await closed;
    expect([code, reason]).toEqual([1008, 'placeholder_unknown']);
    expect(gateway.seen).toHaveLength(1);
    world.setPolicy('agents.yaml', policyOf({ sources: '127.0.0.1/32' }));
  });

  it('keeps other extensions out of the offer', async () => {
    const client = await connectTls(world.port, at.gateway, { ca: world.caPem });
    const offer = 'Sec-WebSocket-Extensions: x-secret-box, permessage-deflate; client_max_window_bits\r\n';
    client.write(handshakeText(at.gateway, '/offer', offer));
    expect((await client.head()).status).toBe(101);
    const seen = gateway.handshakes.find(({ url }) => url === '/offer');
    expect(seen?.headers['sec-websocket-extensions']).toBe('permessage-deflate; client_max_window_bits');
    client.destroy();
  });

  it.each([
    ['a frame without a mask', () => frameOf('hello', { mask: null })],
    ['a continuation of nothing', () => frameOf('hello', { opcode: 0 })],
    ['broken compression', () => frameOf(Buffer.from([0xff, 0xff, 0xff]), { rsv1: true })],
  ])('cannot be smuggled by %s: the connection ends with 1002', async (_what, make) => {
    const client = await connectTls(world.port, at.gateway, { ca: world.caPem });
    const offer = 'Sec-WebSocket-Extensions: permessage-deflate\r\n';
    client.write(handshakeText(at.gateway, '/frames', offer));
    expect((await client.head()).status).toBe(101);
    client.write(make());
    const close = await client.rest();
    expect([close[0], close.readUInt16BE(2)]).toEqual([0x88, 1002]);
    expect(gateway.seen).toEqual([]);
    client.destroy();
  });

  it('is looked for in messages of limited size only, bombs included, and nothing stays held', async () => {
    const zeros = Buffer.alloc(40 * 1024 * 1024);
    for (const [data, perMessageDeflate] of [
      [zeros.subarray(0, 9 * 1024 * 1024), false],
      [zeros, { threshold: 0 }],
    ] as const) {
      const socket = await opened('/large', { perMessageDeflate });
      const closed = closeOf(socket);
      socket.send(data, { binary: false });
      expect(await closed).toEqual({ code: 1009, reason: 'body_too_large' });
    }
    expect(gateway.seen).toEqual([]);
    const socket = await opened('/fits', { perMessageDeflate: false });
    const text = 'x'.repeat(2 * 1024 * 1024 - 100);
    socket.send(text);
    expect((await nextMessage(socket)).length).toBe(text.length);
    socket.terminate();
  });
});
