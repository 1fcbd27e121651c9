/** What an upstream broke off must not look complete: where only the end of the connection tells, it is a reset. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, tunnelled } from '../helpers/scene.ts';
import { connect, connectTls, open, type Talk } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, upstreamContext, type World } from '../helpers/world.ts';

const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n';
const UNTIL_END = 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello';

describe('an upstream that breaks off', () => {
  let accepted: net.Socket[] = [];
  let onData: (socket: net.Socket) => void = () => {};
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let web: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  beforeAll(async () => {
    const script = (socket: net.Socket): void => {
      accepted.push(socket);
      socket.once('data', () => onData(socket));
    };
    raw = await rawUpstream(script);
    web = await rawUpstream(script, { name: 'web.test' });
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
          intercepted(`plain.test:${raw.port}`),
          intercepted(`web.test:${web.port}`),
        ]),
      },
      hosts: { 'raw.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'], 'web.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await raw.close();
    await web.close();
  });

  /** How the client's connection ends: `end` is a clean FIN. */
  const ending = (client: Talk): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>();
    client.socket.once('end', () => resolve('end'));
    client.socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    return promise;
  };

  it('a reset in a tunnel is a reset for the client', async () => {
    accepted = [];
    onData = (socket) => void socket.write('partial');
    const client = await connect(world.port, `raw.test:${raw.port}`);
    const how = ending(client);
    client.write('x');
    expect((await client.bytes(7)).toString()).toBe('partial');
    accepted[0]?.resetAndDestroy();
    expect(await how).toBe('ECONNRESET');
    const end = await eventually(async () => (await world.audit()).find((one) => one['kind'] === 'end'));
    expect(end).toMatchObject({ ended: 'upstream_abort', bytes_down: 7 });
  });

  it('a tunnel that the upstream ended in order still ends in order', async () => {
    onData = (socket) => void socket.end('whole');
    const client = await connect(world.port, `raw.test:${raw.port}`);
    const how = ending(client);
    client.write('x');
    expect(await how).toBe('end');
    expect((await client.rest()).toString()).toBe('whole');
    client.destroy();
  });

  const BREAKS: readonly [string, string, (socket: net.Socket) => void][] = [
    ['a chunked answer that ends before its last chunk', CHUNKED, (socket) => socket.end()],
    ['a chunked answer broken off by a reset', CHUNKED, (socket) => socket.resetAndDestroy()],
    ['an answer until the end broken off by a reset', UNTIL_END, (socket) => socket.resetAndDestroy()],
  ];

  it.each(BREAKS)('%s does not end cleanly for an HTTP/1.0 client', async (_name, text, leave) => {
    accepted = [];
    onData = (socket) => void socket.write(text);
    const at = `plain.test:${raw.port}`;
    const client = await open(world.port);
    const how = ending(client);
    client.write(`GET http://${at}/ HTTP/1.0\r\nHost: ${at}\r\n\r\n`);
    expect((await client.head()).status).toBe(200);
    expect((await client.bytes(5)).toString()).toBe('hello');
    leave(await eventually(() => accepted[0]));
    expect(await how).toBe('ECONNRESET');
  });

  // TLS ends with close_notify, but many clients take a FIN without one for the end all the same.
  it('nor does a chunked answer that ends before its last chunk for one inside TLS', async () => {
    accepted = [];
    onData = (socket) => void socket.write(CHUNKED);
    const at = `web.test:${web.port}`;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const how = ending(client);
    client.write(`GET / HTTP/1.0\r\nHost: ${at}\r\n\r\n`);
    expect((await client.head()).status).toBe(200);
    expect((await client.bytes(5)).toString()).toBe('hello');
    (await eventually(() => accepted[0])).end();
    expect(await how).toBe('ECONNRESET');
  });

  describe('inside TLS', () => {
    const raws: net.Socket[] = [];
    let server: net.Server;
    let inner: tls.TLSSocket | null = null;
    let own: World;
    let at = '';

    beforeAll(async () => {
      server = net.createServer({ allowHalfOpen: true }, (socket) => {
        raws.push(socket);
        socket.on('error', () => socket.destroy());
        inner = new tls.TLSSocket(socket, { isServer: true, secureContext: upstreamContext('cut.test') });
        inner.on('error', () => socket.destroy());
        inner.once('data', () => inner?.write(text));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      at = `cut.test:${typeof address === 'object' ? address?.port : 0}`;
      own = await makeWorld({
        policies: { 'agents.yaml': policy([intercepted(at)]) },
        hosts: { 'cut.test': ['127.0.0.1'] },
      });
    });
    afterAll(async () => {
      await own.stop();
      for (const socket of raws) socket.destroy();
      server.close();
    });
    let text = '';

    const ask = async (): Promise<Talk> => {
      const client = await connectTls(own.port, at, { ca: own.caPem });
      client.write(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      return client;
    };
    const cutOff = (): void => void raws.at(-1)?.end();

    it.each([
      ['that came in small pieces', 'hello'],
      ['of many records', 'hello'.repeat(200_000)],
    ])('a body until the end %s, without close_notify, does not look complete', async (_name, body) => {
      text = `HTTP/1.1 200 OK\r\n\r\n${body}`;
      const client = await ask();
      const how = ending(client);
      await client.head();
      await client.bytes(body.length);
      cutOff();
      expect(await how).toBe('ECONNRESET');
      expect((await client.rest()).toString()).not.toContain('0\r\n\r\n');
    });

    it.each([
      ['that came in small pieces', 'hello'],
      ['of many records', 'hello'.repeat(200_000)],
    ])('a body until the end %s, with close_notify, does', async (_name, body) => {
      text = `HTTP/1.1 200 OK\r\n\r\n${body}`;
      const client = await ask();
      await client.head();
      let got = (await client.bytes(5)).toString();
      inner?.end();
      while (!got.endsWith('\r\n0\r\n\r\n')) got += (await client.bytes(1)).toString();
      expect(got.replaceAll(/(?:^|\r\n)[\da-f]+\r\n/g, '').replaceAll('\r\n', '')).toBe(body);
      client.destroy();
    });

    it('a body that is whole by its length needs no close_notify', async () => {
      text = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
      const client = await ask();
      const reply = client.reply();
      expect((await reply).body.toString()).toBe('hello');
      cutOff();
      await eventually(() => own.proxy.parts.pool.stats().idle === 0);
      client.destroy();
    });
  });
});
