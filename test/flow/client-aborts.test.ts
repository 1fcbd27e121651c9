/** A client that goes away, at any moment: the upstream is let go and the record is closed, once. */
import type net from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DnsStub, startDnsStub } from '../helpers/dns-stub.ts';
import { intercepted, policy, records, tunnelled } from '../helpers/scene.ts';
import { connect, connectText, connectTls, open, type Talk } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const WAYS: readonly [string, (client: Talk) => void][] = [
  ['a reset', (client) => client.reset()],
  ['a close', (client) => client.destroy()],
];

describe.each(WAYS)('a client that leaves by %s', (way, leave) => {
  let dns: DnsStub;
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let accepted: net.Socket[] = [];
  let gone = 0;
  let onData: (socket: net.Socket, bytes: Buffer) => void = () => {};
  let world: World;

  beforeAll(async () => {
    dns = await startDnsStub({
      'slow.test': { a: ['127.0.0.1'], delayMs: 1_500 },
      'api.test': { a: ['127.0.0.1'] },
    });
    const script = (socket: net.Socket): void => {
      accepted.push(socket);
      socket.on('data', (bytes: Buffer) => onData(socket, bytes));
      socket.on('end', () => socket.end());
      socket.on('close', () => {
        gone += 1;
      });
    };
    upstream = await rawUpstream(script, { name: 'api.test' });
    raw = await rawUpstream(script);
  });
  beforeEach(async () => {
    accepted = [];
    gone = 0;
    onData = () => {};
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          intercepted(`api.test:${upstream.port}`),
          tunnelled(`api.test:${raw.port}`, 'protocol: any'),
          tunnelled(`slow.test:${raw.port}`, 'protocol: any'),
        ]),
      },
      dns: [dns.address],
    });
  });
  afterEach(() => world.stop());
  afterAll(async () => {
    await upstream.close();
    await raw.close();
    await dns.close();
  });

  /** Every connection and request that began has ended, and nothing is left open. */
  const settled = async (expected: {
    ends: number;
    accepted: number;
  }): Promise<Record<string, unknown>[]> => {
    const ends = await eventually(async () => {
      const list = await records(world, { kind: 'end' });
      return list.length >= expected.ends && gone >= expected.accepted ? list : null;
    });
    await eventually(() => world.proxy.parts.live.connections === 0);
    const all = await world.audit();
    for (const kind of ['decision', 'end']) {
      const ids = all.filter((one) => one['kind'] === kind).map((one) => one['request_id']);
      expect(new Set(ids).size).toBe(ids.length);
    }
    expect(ends).toHaveLength(expected.ends);
    expect(accepted).toHaveLength(expected.accepted);
    expect(world.proxy.parts.live.connectionsOpen()).toEqual([]);
    return ends;
  };

  it('in the middle of a head', async () => {
    const client = await open(world.port);
    client.write('GET http://api.test/ HTTP/1.1\r\nHos');
    await eventually(() => world.proxy.parts.live.connections === 1);
    leave(client);
    await eventually(() => world.proxy.parts.live.connections === 0);
    expect(await records(world, { verdict: 'allow' })).toEqual([]);
  });

  it('while its CONNECT waits for the name', async () => {
    const client = await open(world.port);
    client.write(connectText(`slow.test:${raw.port}`));
    await eventually(() => dns.queries.some((query) => query.name === 'slow.test'));
    leave(client);
    if (way === 'a reset') {
      const [end] = await settled({ ends: 1, accepted: 0 });
      expect(end).toMatchObject({ status: 0, ended: 'client_abort' });
    } else {
      // A close looks like a half-close until something is written: the upstream may be reached for a moment.
      await eventually(async () => (await records(world, { kind: 'end' })).length === 1);
      await eventually(() => gone === accepted.length && world.proxy.parts.live.connections === 0);
    }
  });

  it('on an open tunnel', async () => {
    const client = await connect(world.port, `api.test:${raw.port}`);
    client.write('x');
    await eventually(() => accepted.length === 1);
    leave(client);
    await settled({ ends: 1, accepted: 1 });
  });

  const api = () => `api.test:${upstream.port}`;
  const intercept = (): Promise<Talk> => connectTls(world.port, api(), { ca: world.caPem });

  it('behind the 200, before TLS', async () => {
    leave(await connect(world.port, api()));
    await settled({ ends: 1, accepted: 0 });
  });

  it('inside TLS, before any request', async () => {
    leave(await intercept());
    await settled({ ends: 1, accepted: 0 });
  });

  const trickle = (socket: net.Socket): void => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome');
    const timer = setInterval(() => void socket.write('more'), 20);
    socket.on('close', () => clearInterval(timer));
  };

  it('while the upstream thinks', async () => {
    const client = await intercept();
    client.write(`GET /think HTTP/1.1\r\nHost: ${api()}\r\n\r\n`);
    await eventually(() => accepted.length === 1);
    leave(client);
    // A close looks like the half-close of a client that still reads: it shows when something is written to it.
    if (way === 'a close' && accepted[0] !== undefined) trickle(accepted[0]);
    const ends = await settled({ ends: 2, accepted: 1 });
    expect(ends.find((end) => end['path'] === '/think')).toMatchObject({ ended: 'client_abort' });
  });

  it('in the middle of its upload: the upstream never sees a complete request', async () => {
    let heard = '';
    onData = (_socket, bytes) => {
      heard += bytes.toString('latin1');
    };
    const client = await intercept();
    client.write(`POST /up HTTP/1.1\r\nHost: ${api()}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`);
    await eventually(() => heard.includes('half'));
    leave(client);
    await settled({ ends: 2, accepted: 1 });
    expect(heard).not.toMatch(/\r\n0\r\n\r\n$/);
  });

  it('in the middle of the answer', async () => {
    onData = trickle;
    const client = await intercept();
    client.write(`GET /half HTTP/1.1\r\nHost: ${api()}\r\n\r\n`);
    await client.bytes(20);
    leave(client);
    const ends = await settled({ ends: 2, accepted: 1 });
    expect(ends.find((end) => end['path'] === '/half')).toMatchObject({ ended: 'client_abort', status: 200 });
  });
});
