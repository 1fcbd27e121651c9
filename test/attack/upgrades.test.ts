/**
 * Upgrades that lie: a 101 that answers nothing, another protocol than asked, bytes behind a handshake that was not
 * granted. Nothing of it may be read as HTTP, nor reach the other side.
 */
import type net from 'node:net';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, theRecord } from '../helpers/scene.ts';
import { connectTls, type Talk } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { ACCEPT, agreeText, frameOf, handshakeText } from '../helpers/websocket.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

type Script = (socket: net.Socket, request: string) => void;

describe('an upgrade', () => {
  let world: World;
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let client: Talk | null = null;
  let script: Script;
  let heard = '';
  let open = 0;
  let at = '';

  beforeAll(async () => {
    upstream = await rawUpstream(
      (socket) => {
        open += 1;
        socket.on('close', () => {
          open -= 1;
        });
        let asked = '';
        socket.on('data', (bytes: Buffer) => {
          heard += bytes.toString('latin1');
          asked += bytes.toString('latin1');
          if (!asked.includes('\r\n\r\n')) return;
          script(socket, asked);
          asked = '';
        });
      },
      { name: 'ws.test' },
    );
    at = `ws.test:${upstream.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at)]) },
      hosts: { 'ws.test': ['127.0.0.1'] },
    });
    return async () => {
      await world.stop();
      await upstream.close();
    };
  });

  afterEach(() => {
    client?.destroy();
    heard = '';
  });

  const start = async (answer: string | Script): Promise<Talk> => {
    script = typeof answer === 'string' ? (socket) => void socket.write(answer, 'latin1') : answer;
    client = await connectTls(world.port, at, { ca: world.caPem });
    return client;
  };

  it.each([
    ['h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'],
    ['TLS inside TLS', 'Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n'],
    ['a list', `Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n`],
  ])('to %s is refused and reaches nobody', async (_what, fields) => {
    const talk = await start(agreeText());
    const reply = await talk.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\n${fields}\r\n`);
    expect(reply.json()).toMatchObject({ status: 403, reason: 'upgrade_refused' });
    await talk.over();
    expect(heard).toBe('');
  });

  it.each([
    ['a body', 'Content-Length: 5\r\n', 'hello'],
    ['a short key', 'Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n', ''],
  ])('with %s is bad_request and reaches nobody', async (_what, fields, body) => {
    const talk = await start(agreeText());
    talk.write(
      `GET / HTTP/1.1\r\nHost: ${at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${fields}\r\n${body}GET /smuggled HTTP/1.1\r\nHost: ${at}\r\n\r\n`,
    );
    expect((await talk.reply()).json()).toMatchObject({ status: 400, reason: 'bad_request' });
    await talk.over();
    expect(heard).toBe('');
  });

  it.each([
    ['a wrong accept', agreeText().replace(ACCEPT, ACCEPT.replace('s3', 's4'))],
    ['no accept', agreeText().replace(`Sec-WebSocket-Accept: ${ACCEPT}\r\n`, '')],
    ['another protocol', agreeText().replace('Upgrade: websocket', 'Upgrade: h2c')],
    ['no Connection', agreeText().replace('Connection: Upgrade\r\n', '')],
    ['a subprotocol that nobody asked for', agreeText('Sec-WebSocket-Protocol: mqtt\r\n')],
    ['an extension that nobody asked for', agreeText('Sec-WebSocket-Extensions: permessage-deflate\r\n')],
    ['a body', agreeText('Content-Length: 3\r\n')],
    ['HTTP/1.0', agreeText().replace('HTTP/1.1', 'HTTP/1.0')],
  ])(
    'answered by a 101 with %s is upstream_bad_response, and the upstream loses its connection',
    async (_what, answer) => {
      const talk = await start(answer);
      talk.write(Buffer.concat([Buffer.from(handshakeText(at)), frameOf('secret of the client')]));
      expect((await talk.reply()).json()).toMatchObject({ status: 502, reason: 'upstream_bad_response' });
      await talk.over();
      await eventually(() => open === 0);
      expect(heard.split('\r\n\r\n').at(-1)).toBe('');
    },
  );

  it('that nobody asked for is upstream_bad_response', async () => {
    const talk = await start(agreeText());
    const reply = await talk.ask(`GET /plain HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    expect(reply.json()).toMatchObject({ status: 502, reason: 'upstream_bad_response' });
    await eventually(() => open === 0);
    expect(await theRecord(world, { kind: 'end', path: '/plain' })).toMatchObject({
      ended: 'upstream_abort',
    });
  });

  it('whose Upgrade field is not named by Connection is an ordinary request', async () => {
    const talk = await start('HTTP/1.1 204 No Content\r\n\r\n');
    const reply = await talk.ask(`GET /bare HTTP/1.1\r\nHost: ${at}\r\nUpgrade: websocket\r\n\r\n`);
    expect(reply.status).toBe(204);
    expect(heard.toLowerCase()).not.toContain('upgrade');
  });

  it.each([
    ['200', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['401', 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno'],
    ['403 with chunks', 'HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n'],
  ])(
    'answered by %s is not followed by a request, and its connection serves nobody else',
    async (_what, answer) => {
      const talk = await start(answer);
      talk.write(`${handshakeText(at)}GET /smuggled HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      const reply = await talk.reply();
      expect(reply.status).toBeLessThan(500);
      expect(reply.body).toHaveLength(2);
      expect(reply.field('connection')).toBe('close');
      talk.write(`GET /late HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      await talk.over();
      await eventually(() => open === 0);
      expect(heard).not.toContain('smuggled');
      expect(heard).not.toContain('late');
    },
  );

  it('keeps what the client says early until the 101, within limits', async () => {
    let agree = (): void => {};
    const talk = await start((socket) => {
      agree = () => void socket.write(agreeText());
    });
    talk.write(Buffer.concat([Buffer.from(handshakeText(at)), frameOf('x'.repeat(30_000))]));
    await eventually(() => heard.includes('\r\n\r\n'));
    expect(heard.endsWith('\r\n\r\n')).toBe(true);
    heard = '';
    script = () => {};
    agree();
    expect((await talk.head()).status).toBe(101);
    await eventually(() => heard.length === 30_008);
  });

  it('has its 101 in one TLS record of its own, whatever comes with it', async () => {
    const talk = await start((socket) => {
      const text = agreeText('x-kept-Case: 1\r\n');
      socket.write(text.slice(0, 40));
      setImmediate(() =>
        socket.write(Buffer.concat([Buffer.from(text.slice(40)), frameOf('first', { mask: null })])),
      );
    });
    const records: string[] = [];
    talk.socket.on('data', (bytes: Buffer) => records.push(bytes.toString('latin1')));
    talk.write(handshakeText(at));
    await eventually(() => records.join('').endsWith('first'));
    expect(records[0]).toMatch(/^HTTP\/1\.1 101 .*x-kept-Case: 1\r\n.*\r\n\r\n$/s);
    expect(records[1]).toMatch(/first$/);
  });

  it('that was granted passes the end of either side on', async () => {
    const talk = await start((socket) => {
      socket.write(agreeText());
      script = () => {};
      socket.on('end', () => socket.end(frameOf('last words', { mask: null })));
    });
    talk.write(handshakeText(at, '/half'));
    expect((await talk.head()).status).toBe(101);
    talk.socket.end();
    expect((await talk.rest()).subarray(2).toString()).toBe('last words');
    expect(await theRecord(world, { kind: 'end', path: '/half' })).toMatchObject({
      ended: 'done',
      status: 101,
    });
  });

  it('whose upstream breaks off is broken off towards the client', async () => {
    const talk = await start((socket) => {
      socket.write(agreeText());
      script = () => void socket.destroy();
    });
    talk.write(handshakeText(at, '/broken'));
    expect((await talk.head()).status).toBe(101);
    talk.write('\r\n\r\n');
    await talk.over();
    await theRecord(world, { kind: 'end', path: '/broken' });
  });
});
