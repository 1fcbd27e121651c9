/** A real key written where a host belongs is refused, and stands nowhere afterwards: host names are folded, keys are not. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { encode } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, profile, records } from '../helpers/scene.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789';
const HOST = `${REAL}.test`;

describe('a real key as a host', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted('api.test')], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: ['api.test'] }]),
      },
      settings:
        'transparent: { dns: "127.0.0.1:0", tls: "127.0.0.1:0", http: "127.0.0.1:0", address: 127.0.0.9 }\n',
      env: { REAL },
    });
  });
  afterAll(() => world.stop());

  const say = async (port: number | undefined, bytes: string | Buffer): Promise<void> => {
    const socket = net.connect(port ?? 0, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(bytes);
    await once(socket, 'data');
    socket.destroy();
  };
  const inSni = async (): Promise<void> => {
    const port = world.proxy.transparent.tls?.port ?? 0;
    const socket = tls.connect({ port, host: '127.0.0.1', servername: HOST });
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    await promise;
  };
  const inDns = async (): Promise<void> => {
    const socket = createSocket('udp4');
    const answer = once(socket, 'message');
    socket.send(
      encode({ type: 'query', id: 1, questions: [{ type: 'A', name: HOST }] }),
      world.proxy.transparent.dns?.port,
      '127.0.0.1',
    );
    await answer;
    socket.close();
  };
  const socks = (): Buffer =>
    Buffer.concat([
      Buffer.from([5, 1, 0, 5, 1, 0, 3, HOST.length]),
      Buffer.from(HOST),
      Buffer.from([1, 187]),
    ]);

  it.each([
    ['of a CONNECT', () => say(world.port, `CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\n\r\n`)],
    ['of an absolute URL', () => say(world.port, `GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)],
    ['of SOCKS5', () => say(world.port, socks())],
    ['in SNI', inSni],
    ['in Host', () => say(world.proxy.transparent.http?.port, `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)],
  ])('%s is secret_leak, and in no record, metric or log', async (_where, attempt) => {
    const before = (await records(world, { kind: 'end', reason: 'secret_leak' })).length;
    await attempt();
    const leaks = () => records(world, { kind: 'end', reason: 'secret_leak' });
    await eventually(async () => (await leaks()).length === before + 1);
    await nowhere();
  });

  it('of a DNS question does not exist, and is in no record, metric or log', async () => {
    await inDns();
    await nowhere();
  });

  const nowhere = async (): Promise<void> => {
    const told = [JSON.stringify(await world.audit()), await world.metrics(), world.log()].join('\n');
    expect(told.toLowerCase()).not.toContain(REAL.toLowerCase());
  };
});
