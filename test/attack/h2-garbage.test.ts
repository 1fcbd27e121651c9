/** Bytes that are no HTTP/2, or half of it, from clients and upstreams: the process lives and nothing is left open. */
import { randomBytes, randomInt } from 'node:crypto';
import type net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { connectH2, tlsWith } from '../helpers/h2.ts';
import { frame, PREFACE, RawH2, TYPE } from '../helpers/h2-raw.ts';
import { intercepted, policy } from '../helpers/scene.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const ROUNDS = 60;

/** A whole exchange of frames with some of its bytes changed, or noise. */
function spoilt(peer: RawH2): Buffer {
  const good = Buffer.concat([
    Buffer.from(PREFACE),
    frame(TYPE.settings, 0, 0),
    peer.get(1, '/one'),
    frame(TYPE.ping, 0, 0, Buffer.alloc(8)),
    peer.get(3, '/two'),
    frame(TYPE.reset, 0, 3, [0, 0, 0, 8]),
    peer.get(5, '/three'),
  ]);
  if (randomInt(4) === 0) return Buffer.concat([Buffer.from(PREFACE), randomBytes(randomInt(400))]);
  for (let n = randomInt(1, 6); n > 0; n -= 1) good[randomInt(PREFACE.length, good.length)] = randomInt(256);
  return good.subarray(0, randomInt(2) === 0 ? good.length : randomInt(PREFACE.length, good.length));
}

describe('spoilt HTTP/2 from clients', () => {
  let a: AttackWorld;
  beforeAll(async () => {
    a = await attackWorld();
  });
  afterAll(async () => {
    await a.stop();
  });

  it(`${ROUNDS} connections, ended in every way: the next one is served, and none is left`, async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const socket = await tlsWith(a.world.port, a.at.bound, { ca: a.world.caPem, alpn: ['h2'] });
      const peer = new RawH2(socket, a.at.bound);
      const bytes = spoilt(peer);
      const cut = randomInt(bytes.length);
      peer.write(bytes.subarray(0, cut));
      if (round % 3 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      peer.write(bytes.subarray(cut));
      if (round % 2 === 0) socket.end();
      else await new Promise<void>((resolve) => setImmediate(resolve));
      socket.destroy();
    }
    const client = await connectH2(a.world.port, a.at.bound, { ca: a.world.caPem });
    expect((await client.ask('GET /well')).status).toBe(200);
    client.close();
    await eventually(() => a.world.proxy.parts.live.connectionsOpen().length === 0);
    expect(a.world.log()).not.toMatch(/failed on an exception/);
  });
});

describe('spoilt HTTP/2 from upstreams', () => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let script: (socket: net.Socket) => void = () => {};
  const sockets: net.Socket[] = [];
  /** the next request has a connection of its own */
  const forget = async (): Promise<void> => {
    for (const socket of sockets.splice(0)) socket.destroy();
    const { pool } = world.proxy.parts;
    await eventually(() => pool.stats().idle + pool.stats().busy === 0);
  };

  beforeAll(async () => {
    const begin = (socket: net.Socket): void => {
      sockets.push(socket);
      script(socket);
    };
    raw = await rawUpstream(begin, { name: 'raw.test', alpn: ['h2'] });
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(`raw.test:${raw.port}`)]) },
      hosts: { 'raw.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await raw.close();
  });

  const ok = frame(TYPE.headers, 4, 1, [0x88]);
  const settings = frame(TYPE.settings, 0, 0);
  it.each<[string, () => Buffer]>([
    ['noise', () => randomBytes(200)],
    ['HTTP/1.1', () => Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')],
    ['a GOAWAY at once', () => Buffer.concat([settings, frame(TYPE.goaway, 0, 0, Buffer.alloc(8))])],
    ['DATA before HEADERS', () => Buffer.concat([settings, frame(TYPE.data, 1, 1, Buffer.from('x'))])],
    [
      'a header section without end',
      () =>
        Buffer.concat([
          settings,
          frame(TYPE.headers, 0, 1, [0x88]),
          ...Array.from({ length: 20 }, () => frame(TYPE.continuation, 0, 1)),
        ]),
    ],
    [
      'an answer to a stream that nobody asked for',
      () => Buffer.concat([settings, frame(TYPE.headers, 5, 7, [0x88])]),
    ],
    [
      'a flood of PING',
      () =>
        Buffer.concat([
          settings,
          ...Array.from({ length: 2_000 }, () => frame(TYPE.ping, 0, 0, Buffer.alloc(8))),
        ]),
    ],
    ['101', () => Buffer.concat([settings, frame(TYPE.headers, 5, 1, [0x48, 0x03, 0x31, 0x30, 0x31])])],
    ['407', () => Buffer.concat([settings, frame(TYPE.headers, 5, 1, [0x48, 0x03, 0x34, 0x30, 0x37])])],
  ])('%s is a bad gateway, and the client is served on', async (_name, bytes) => {
    script = (socket) => {
      socket.once('data', () => socket.write(bytes()));
    };
    const at = `raw.test:${raw.port}`;
    const client = await connectH2(world.port, at, { ca: world.caPem });
    const reply = await client.ask('GET /');
    expect([reply.status, reply.json()['reason']]).toEqual([502, 'upstream_bad_response']);
    await forget();
    script = (socket) => {
      socket.once('data', () =>
        socket.write(Buffer.concat([settings, ok, frame(TYPE.data, 1, 1, Buffer.from('well'))])),
      );
    };
    expect((await client.ask('GET /')).body.toString()).toBe('well');
    client.close();
    await forget();
  });
});
