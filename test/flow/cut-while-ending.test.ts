/**
 * A connection that is cut in the very moment in which its FIN is on the way out. libuv resets no such socket, and Node
 * then holds its handle for ever: neither the file nor the place among the connections would ever be free again.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { resetSocket } from '../../src/base/reset.ts';
import { denied } from '../../src/flow/reason.ts';
import { policy, tunnelled } from '../helpers/scene.ts';
import { connect } from '../helpers/talk.ts';
import { listenOn, rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, upstreamContext, type World } from '../helpers/world.ts';

describe('a socket whose FIN is on its way', () => {
  let server: net.Server;
  let client: net.Socket;
  let accepted: net.Socket;

  beforeEach(async () => {
    server = net.createServer({ allowHalfOpen: true });
    const port = await listenOn(server);
    client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    client.on('error', () => {});
    accepted = await new Promise<net.Socket>((resolve) => server.once('connection', resolve));
    accepted.on('error', () => {});
  });
  afterEach(() => {
    client.destroy();
    server.close();
  });

  it('is closed', async () => {
    accepted.end();
    resetSocket(accepted);
    await once(accepted, 'close');
  });

  it('is closed where TLS on top of it ended it', async () => {
    const secure = new tls.TLSSocket(accepted, {
      isServer: true,
      secureContext: upstreamContext('web.test'),
    });
    secure.on('error', () => {});
    const peer = tls.connect({ socket: client, servername: 'web.test', rejectUnauthorized: false });
    peer.on('error', () => {});
    await Promise.all([once(peer, 'secureConnect'), once(secure, 'secure')]);
    secure.end();
    resetSocket(accepted, secure);
    await once(accepted, 'close');
  });

  it('is reset where it still has much to say', async () => {
    accepted.end(Buffer.alloc(64 * 1024 * 1024));
    resetSocket(accepted);
    const error: unknown = await new Promise((resolve) => client.resume().once('error', resolve));
    expect(error).toMatchObject({ code: 'ECONNRESET' });
  });
});

describe('a tunnel that is cut', () => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';

  beforeAll(async () => {
    raw = await rawUpstream((socket) => socket.resume());
    at = `raw.test:${raw.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([tunnelled(at, 'protocol: any')]) },
      hosts: { 'raw.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await raw.close();
  });

  it('as one of its ends is told of the end of the other leaves nothing open', async () => {
    const { live } = world.proxy.parts;
    const client = await connect(world.port, at);
    const [link] = live.links();
    const [flow] = live.connectionsOpen();
    // What the upstream's FIN does.
    link?.socket.end();
    flow?.cut(denied('locked_down'));
    await client.over();
    client.destroy();
    await eventually(() => live.connections === 0);
  });
});
