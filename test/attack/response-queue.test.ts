/** Bytes that an upstream sends unasked must never answer another request (response queue poisoning). */
import type net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy } from '../helpers/scene.ts';
import { connectTls } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const reply = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe('unasked upstream bytes', () => {
  const sockets: net.Socket[] = [];
  let onRequest: (socket: net.Socket, path: string) => void = () => {};
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';

  beforeAll(async () => {
    upstream = await rawUpstream(
      (socket) => {
        sockets.push(socket);
        socket.on('data', (bytes: Buffer) => onRequest(socket, bytes.toString('latin1').split(' ')[1] ?? ''));
      },
      { name: 'api.test' },
    );
    at = `api.test:${upstream.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at)]) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
  });

  const client = () => connectTls(world.port, at, { ca: world.caPem });
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: ${at}\r\n\r\n`;

  it('a second response in the same write is dropped with its connection', async () => {
    onRequest = (socket, path) => void socket.write(reply(path) + (path === '/first' ? reply('POISON') : ''));
    const one = await client();
    expect((await one.ask(get('/first'))).body.toString()).toBe('/first');
    // The client's connection may be closed as well: what it read can then be trusted to be all.
    const second = await one.ask(get('/second')).catch(() => null);
    expect(second?.body.toString() ?? '/second').toBe('/second');
    const other = await client();
    expect((await other.ask(get('/third'))).body.toString()).toBe('/third');
    one.destroy();
    other.destroy();
  });

  it('bytes on an idle connection end it', async () => {
    onRequest = (socket, path) => void socket.write(reply(path));
    const one = await client();
    await one.ask(get('/idle'));
    const idle = await eventually(() => sockets.findLast((socket) => !socket.destroyed));
    idle.write(reply('POISON'));
    await eventually(() => idle.destroyed);
    expect((await one.ask(get('/next'))).body.toString()).toBe('/next');
    one.destroy();
  });

  it('an answer before the request was whole is not given to the next one', async () => {
    onRequest = (socket, path) => {
      if (path === '/upload') socket.write(reply('early'));
      else if (path.startsWith('/')) socket.write(reply(path));
    };
    const one = await client();
    one.write(`POST /upload HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 10\r\n\r\nhalf`);
    const early = await one.reply();
    expect(early.body.toString()).toBe('early');
    expect(early.field('connection')).toBe('close');
    const other = await client();
    expect((await other.ask(get('/after'))).body.toString()).toBe('/after');
    one.destroy();
    other.destroy();
  });
});
