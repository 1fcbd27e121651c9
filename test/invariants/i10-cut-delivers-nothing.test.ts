/**
 * I10: a cut is a reset. What the proxy still held for the client, in its own memory or in the kernel's, does not go
 * out behind the verdict, and no clean end makes the part look whole. What the client's kernel has, it has.
 */
import { once } from 'node:events';
import type net from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { intercepted, policy, records, tunnelled } from '../helpers/scene.ts';
import { connect, connectTls, open, type Talk } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

/** More than kernel buffers take in on loopback. */
const TOTAL = 24 * 1024 * 1024;
const PIECE: Buffer = Buffer.alloc(256 * 1024, 'z');
const RESPONSE = `HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`;
const STALLED_MS = 250;

describe('I10: a cut delivers nothing more', () => {
  const accepted: net.Socket[] = [];
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let web: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  const pour = (socket: net.Socket, first: string): void => {
    accepted.push(socket);
    socket.once('data', () => {
      socket.write(first);
      void (async () => {
        for (let sent = 0; sent < TOTAL && !socket.destroyed; sent += PIECE.length) {
          if (!socket.write(PIECE)) await once(socket, 'drain').catch(() => {});
        }
        socket.end();
      })();
    });
  };

  beforeAll(async () => {
    raw = await rawUpstream((socket) => pour(socket, RESPONSE));
    web = await rawUpstream((socket) => pour(socket, RESPONSE), { name: 'web.test' });
  });
  beforeEach(async () => {
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
  afterEach(async () => {
    for (const socket of accepted.splice(0)) socket.destroy();
    await world.stop();
  });
  afterAll(async () => {
    await raw.close();
    await web.close();
  });

  const passedDown = (): number =>
    [...world.proxy.parts.live.links()].reduce((sum, link) => sum + link.socket.bytesWritten, 0);

  /** Bytes that the proxy has given to the client's socket, once they have stopped growing. */
  const stalled = async (): Promise<number> => {
    let last = 0;
    let since = Date.now();
    return eventually(() => {
      const now = passedDown();
      if (now !== last) since = Date.now();
      last = now;
      return now > PIECE.length && Date.now() - since > STALLED_MS ? now : null;
    }, 10_000);
  };

  const ways: Record<string, () => Promise<Talk>> = {
    'a tunnel': async () => {
      const client = await connect(world.port, `raw.test:${raw.port}`);
      client.write('go');
      return client;
    },
    'a plain response': async () => {
      const at = `plain.test:${raw.port}`;
      const client = await open(world.port);
      client.write(`GET http://${at}/ HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      return client;
    },
    'an intercepted response': async () => {
      const at = `web.test:${web.port}`;
      const client = await connectTls(world.port, at, { ca: world.caPem });
      client.write(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      return client;
    },
  };

  it.each(Object.entries(ways))('of %s that the client does not read', async (_name, begin) => {
    const { socket } = await begin();
    socket.removeAllListeners('data');
    socket.pause();
    const given = await stalled();
    world.setPolicy('agents.yaml', policy([]));
    await eventually(() => world.proxy.parts.live.connections === 0);
    expect(await records(world, { kind: 'end', ended: 'cut', reason: 'host_not_allowed' })).not.toEqual([]);
    let got = 0;
    let how: string | null = null;
    socket.on('data', (bytes: Buffer) => {
      got += bytes.length;
    });
    socket.on('end', () => {
      how ??= 'end';
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      how ??= error.code ?? error.message;
    });
    socket.resume();
    await eventually(() => how);
    expect(how).toBe('ECONNRESET');
    expect(got).toBeLessThan(given);
  });
});
