/** What an upstream says in a WebSocket that a key is bound to: the key goes back as the placeholder. */
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { intercepted, metric, placeholderIn, policy, profile, theRecord } from '../helpers/scene.ts';
import { askOnce } from '../helpers/talk.ts';
import { closeOf, nextMessage, told, type WsUpstream, wsThrough, wsUpstream } from '../helpers/websocket.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const REAL = 'ghp_REALgithub0123456789abcdefghijklmnop';

describe.each([
  [
    'with compression, each message by itself',
    ['websocket'],
    { threshold: 0, serverNoContextTakeover: true },
  ],
  ['with compression, one window for all messages', ['websocket'], { threshold: 0 }],
  // The upstream would compress: it is not asked to where messages of the client are not read.
  ['without compression', ['header'], { threshold: 0 }],
] as const)('a message of the upstream, %s', (_, places, deflate) => {
  let upstream: WsUpstream;
  let world: World;
  let placeholder = '';
  let at = '';
  let client: WebSocket;
  /** the upstream's end of it */
  let server: WebSocket;

  beforeAll(async () => {
    upstream = await wsUpstream({ name: 'ws.test', deflate });
    at = `ws.test:${upstream.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at], in: [...places] }]),
      },
      hosts: { 'ws.test': ['127.0.0.1'] },
      env: { REAL },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    placeholder = placeholderIn(env.json(), 'API_KEY');
    client = await wsThrough(world, `wss://${at}/x`, { perMessageDeflate: { threshold: 0 } });
    await once(client, 'open');
    expect(client.extensions.includes('permessage-deflate')).toBe(places[0] === 'websocket');
    const [first] = upstream.sockets;
    if (first === undefined) throw new Error('no socket');
    server = first;
  });
  afterAll(async () => {
    client.terminate();
    await world.stop();
    await upstream.close();
  });

  it('has the placeholder in text, plain and encoded, again and again', async () => {
    const text = (key: string): string => `{"a":"${key}","b":"${Buffer.from(key).toString('hex')}"} ü`;
    for (let turn = 0; turn < 3; turn += 1) {
      server.send(text(REAL));
      expect(await nextMessage(client)).toBe(text(placeholder));
    }
    expect(
      await metric(world, 'sallyport_open_connections{group="agents",treat="intercept"}'),
    ).toBeGreaterThan(0);
  });

  it('has it in bytes, and in fragments that cut the key', async () => {
    server.send(Buffer.from(`\x00\xff${REAL}`, 'latin1'));
    expect((await told(client, 'message')).toString('latin1')).toBe(`\x00\xff${placeholder}`);
    server.send(`one ${REAL.slice(0, 13)}`, { fin: false });
    server.ping('in between');
    expect(String(await told(client, 'ping'))).toBe('in between');
    server.send(REAL.slice(13, 20), { fin: false });
    server.send(`${REAL.slice(20)} two`, { fin: true });
    expect(await nextMessage(client)).toBe(`one ${placeholder} two`);
  });

  it('passes as it was without a key, long or empty', async () => {
    const long = Array.from({ length: 100_000 }, (_none, n) => n.toString(36)).join(' ');
    for (const text of [long, '', 'ghp_REALgithub']) {
      server.send(text);
      expect(await nextMessage(client)).toBe(text);
    }
  });

  it('has it in pings and in the reason of the close, and is named in the record', async () => {
    server.ping(REAL);
    expect(String(await told(client, 'ping'))).toBe(placeholder);
    const closed = closeOf(client);
    server.close(4000, `no ${REAL}`);
    expect(await closed).toEqual({ code: 4000, reason: `no ${placeholder}` });
    const end = await theRecord(world, { kind: 'end', path: '/x' });
    expect(end).toMatchObject({ status: 101, ended: 'done', scrubbed: ['API_KEY'] });
  });
});
