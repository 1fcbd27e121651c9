/** A reader that stops reading stops the writer: the proxy holds a bounded amount, whoever is slow. */
import { once } from 'node:events';
import type net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, tunnelled } from '../helpers/scene.ts';
import { connect, connectTls } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const TOTAL = 64 * 1024 * 1024;
const PIECE = Buffer.alloc(256 * 1024, 'x');
/** What kernel buffers of three hops on loopback, and the streams of this process, may take in. */
const MOST_ON_THE_WAY = 24 * 1024 * 1024;

/** Writes TOTAL as fast as it is taken; `sent` says how much was. */
function source(socket: net.Socket): { sent: number } {
  const state = { sent: 0 };
  void (async () => {
    while (state.sent < TOTAL && !socket.destroyed) {
      state.sent += PIECE.length;
      if (!socket.write(PIECE)) await once(socket, 'drain').catch(() => {});
    }
    socket.end();
  })();
  return state;
}

/** Resolves once nothing more was sent for a quarter of a second. */
async function stalled(state: { sent: number }): Promise<number> {
  let last = -1;
  let since = Date.now();
  return eventually(() => {
    if (state.sent !== last) {
      last = state.sent;
      since = Date.now();
    }
    return last > 0 && Date.now() - since > 250 ? last : null;
  }, 15_000);
}

describe('a slow reader', () => {
  const sources: { sent: number }[] = [];
  const accepted: net.Socket[] = [];
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let sink: Awaited<ReturnType<typeof rawUpstream>>;
  let web: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  beforeAll(async () => {
    raw = await rawUpstream((socket) => void sources.push(source(socket)));
    sink = await rawUpstream((socket) => {
      socket.pause();
      accepted.push(socket);
    });
    web = await rawUpstream(
      (socket) => {
        socket.once('data', () => {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
          sources.push(source(socket));
        });
      },
      { name: 'web.test' },
    );
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
          tunnelled(`raw.test:${sink.port}`, 'protocol: any'),
          intercepted(`web.test:${web.port}`),
        ]),
      },
      hosts: { 'raw.test': ['127.0.0.1'], 'web.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await raw.close();
    await sink.close();
    await web.close();
  });

  const resumed = async (socket: net.Socket): Promise<number> => {
    let count = 0;
    socket.removeAllListeners('data');
    socket.on('data', (bytes: Buffer) => {
      count += bytes.length;
    });
    socket.resume();
    await once(socket, 'end');
    return count;
  };

  it('of a tunnel stops the upstream, then gets every byte', async () => {
    const client = await connect(world.port, `raw.test:${raw.port}`);
    client.socket.pause();
    const state = await eventually(() => sources.at(-1));
    expect(await stalled(state)).toBeLessThan(MOST_ON_THE_WAY);
    expect(world.proxy.parts.scratch.waitingBytes).toBeLessThan(2 * 1024 * 1024);
    const before = client.socket.readableLength;
    expect(before).toBeLessThan(MOST_ON_THE_WAY);
    const unread = (await client.bytes(0)).length;
    expect(unread + (await resumed(client.socket))).toBe(TOTAL);
    expect(world.proxy.parts.scratch.waitingBytes).toBe(0);
  });

  it('of an intercepted response stops the upstream, then gets every byte', async () => {
    const at = `web.test:${web.port}`;
    const before = sources.length;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    client.write(`GET / HTTP/1.1\r\nHost: ${at}\r\nConnection: close\r\n\r\n`);
    await client.head();
    client.socket.pause();
    const state = await eventually(() => sources[before]);
    expect(await stalled(state)).toBeLessThan(MOST_ON_THE_WAY);
    const unread = (await client.bytes(0)).length;
    expect(unread + (await resumed(client.socket))).toBe(TOTAL);
  });

  it('at the upstream’s end of a tunnel stops the client', async () => {
    const client = await connect(world.port, `raw.test:${sink.port}`);
    const state = source(client.socket);
    expect(await stalled(state)).toBeLessThan(MOST_ON_THE_WAY);
    const socket = await eventually(() => accepted.at(-1));
    expect(await resumed(socket)).toBe(TOTAL);
    socket.end();
    await eventually(() => world.proxy.parts.scratch.waitingBytes === 0);
  });

  it('of many tunnels pins no more than the budget of the shared buffer', async () => {
    const before = sources.length;
    const clients = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const client = await connect(world.port, `raw.test:${raw.port}`);
        client.socket.pause();
        return client;
      }),
    );
    await eventually(() => sources.length === before + clients.length);
    const states = sources.slice(before);
    const all = {
      get sent() {
        return states.reduce((sum, state) => sum + state.sent, 0);
      },
    };
    await stalled(all);
    expect(world.proxy.parts.scratch.waitingBytes).toBeLessThan(48 * 1024 * 1024);
    for (const client of clients) client.socket.resetAndDestroy();
    await eventually(() => world.proxy.parts.scratch.waitingBytes === 0);
  });
});
