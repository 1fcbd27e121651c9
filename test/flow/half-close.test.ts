/** A tunnel keeps the two directions apart: the end of one is not the end of the other. */
import type net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { connect, connectText, open } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('half-close through a tunnel', () => {
  const accepted: net.Socket[] = [];
  let heard = '';
  let ended = false;
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';

  beforeAll(async () => {
    upstream = await rawUpstream((socket) => {
      accepted.push(socket);
      socket.on('data', (bytes: Buffer) => {
        heard += bytes.toString();
      });
      socket.on('end', () => {
        ended = true;
      });
      socket.on('close', () => {
        ended = true;
      });
    });
    at = `raw.test:${upstream.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([tunnelled(at, 'protocol: any')]) },
      hosts: { 'raw.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
  });

  const fresh = async (): Promise<{ client: Awaited<ReturnType<typeof connect>>; server: net.Socket }> => {
    heard = '';
    ended = false;
    const before = accepted.length;
    const client = await connect(world.port, at);
    const server = await eventually(() => accepted[before]);
    return { client, server };
  };

  it('bytes sent after the client’s FIN still arrive at the client', async () => {
    const { client, server } = await fresh();
    client.write('question');
    client.socket.end();
    await eventually(() => ended && heard === 'question');
    server.write('answer, ');
    expect((await client.bytes(8)).toString()).toBe('answer, ');
    server.end('and the end');
    expect((await client.rest()).toString()).toBe('and the end');
  });

  it('bytes that begin like TLS and go no further arrive with the FIN behind them', async () => {
    for (const begun of ['\x16', '\x16\x03\x01\x00\x05abc']) {
      const { client } = await fresh();
      client.socket.end(Buffer.from(begun, 'latin1'));
      await eventually(() => ended && heard === begun);
      client.destroy();
    }
  });

  it('bytes sent after the upstream’s FIN still arrive at the upstream', async () => {
    const { client, server } = await fresh();
    server.end('greeting');
    expect((await client.rest()).toString()).toBe('greeting');
    client.write('late ');
    await eventually(() => heard === 'late ');
    client.socket.end('words');
    await eventually(() => ended && heard === 'late words');
  });

  it('a client that ends before the upstream is connected loses nothing', async () => {
    heard = '';
    ended = false;
    const before = accepted.length;
    const client = await open(world.port);
    client.socket.end(`${connectText(at)}early bytes`);
    const server = await eventually(() => accepted[before]);
    await eventually(() => ended && heard === 'early bytes');
    server.end('thanks');
    expect((await client.rest()).toString()).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\nthanks$/s);
  });

  it('each connection ends once, with the bytes of both directions', async () => {
    const ends = await eventually(async () => {
      const all = (await world.audit()).filter((one) => one['kind'] === 'end');
      return all.length === 3 ? all : null;
    });
    expect(ends.map((end) => [end['bytes_up'], end['bytes_down'], end['ended']])).toEqual([
      [8, 19, 'done'],
      [10, 8, 'done'],
      [11, 6, 'done'],
    ]);
  });

  it('a reset of one side ends the other and the record says so', async () => {
    const { client, server } = await fresh();
    client.write('x');
    await eventually(() => heard === 'x');
    client.socket.resetAndDestroy();
    await eventually(() => ended);
    server.destroy();
    await theRecord(world, { kind: 'end', ended: 'client_abort' });
    const second = await fresh();
    second.server.resetAndDestroy();
    await second.client.over();
    await theRecord(world, { kind: 'end', ended: 'upstream_abort' });
  });
});
