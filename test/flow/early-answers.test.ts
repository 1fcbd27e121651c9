/** Answers before the request is complete, `Expect: 100-continue`, and answers that end with the connection. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type net from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { intercepted, policy, theRecord } from '../helpers/scene.ts';
import { connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const run = promisify(execFile);

describe('an answer before the end of the request', () => {
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';
  let accepted: net.Socket[] = [];
  let heard = '';

  beforeAll(async () => {
    upstream = await rawUpstream(
      (socket) => {
        accepted.push(socket);
        socket.on('data', (bytes: Buffer) => {
          heard += bytes.toString('latin1');
        });
      },
      { name: 'api.test' },
    );
    at = `api.test:${upstream.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at)]) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
  });
  beforeEach(() => {
    // Each begins on an upstream connection of its own.
    world.proxy.parts.pool.retire('none');
    world.proxy.parts.pool.retire(world.proxy.parts.snapshots.current()?.id ?? '');
    accepted = [];
    heard = '';
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
  });

  const begin = async (text: string): Promise<{ client: Talk; server: net.Socket }> => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    client.write(text);
    const server = await eventually(() => accepted[0]);
    await eventually(() => heard.includes('\r\n\r\n'));
    return { client, server };
  };

  it.each([401, 413, 417])(
    '%s instead of 100: the client need not send its body, and the connection ends',
    async (status) => {
      const { client, server } = await begin(
        `PUT /no-${status} HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n`,
      );
      expect(heard).toMatch(/\r\nExpect: 100-continue\r\n/);
      server.write(`HTTP/1.1 ${status} No\r\nContent-Length: 2\r\n\r\nno`);
      const reply = await client.reply();
      expect([reply.status, reply.body.toString(), reply.field('connection')]).toEqual([
        status,
        'no',
        'close',
      ]);
      // What the client sends all the same is no next request, neither here nor upstream.
      client.write('GET / HTTP/1.1\r\n\r\n');
      await client.over();
      await eventually(() => server.destroyed);
      expect(heard.endsWith('\r\n\r\n')).toBe(true);
      expect(await theRecord(world, { kind: 'end', path: `/no-${status}` })).toMatchObject({
        ended: 'done',
        status,
      });
    },
  );

  it('in the middle of an upload reaches the client, and the rest goes nowhere', async () => {
    const { client, server } = await begin(
      `POST /big HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 100000\r\n\r\nstart`,
    );
    await eventually(() => heard.endsWith('start'));
    server.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig');
    const reply = await client.reply();
    expect([reply.status, reply.field('connection')]).toEqual([413, 'close']);
    client.write('more');
    await eventually(() => server.destroyed);
    expect(heard.endsWith('start')).toBe(true);
    expect(world.proxy.parts.pool.stats()).toEqual({ idle: 0, busy: 0 });
    client.destroy();
  });

  it('that streams goes on beside the upload, in both directions', async () => {
    const { client, server } = await begin(
      `POST /both HTTP/1.1\r\nHost: ${at}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    server.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    await client.head();
    for (const word of ['one', 'two', 'six']) {
      client.write(`3\r\n${word}\r\n`);
      await eventually(() => heard.endsWith(`3\r\n${word}\r\n`));
      server.write(`3\r\n${word}\r\n`);
      expect((await client.bytes(8)).toString()).toBe(`3\r\n${word}\r\n`);
    }
    client.write('0\r\n\r\n');
    await eventually(() => heard.endsWith('0\r\n\r\n'));
    server.write('0\r\n\r\n');
    expect((await client.bytes(5)).toString()).toBe('0\r\n\r\n');
    client.destroy();
  });

  it('a body that ends with the connection is whole, also after a pause', async () => {
    const { client, server } = await begin(`GET /eof HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    server.write('HTTP/1.1 200 OK\r\n\r\nfirst,');
    await client.head();
    expect((await client.bytes(11)).toString()).toBe('6\r\nfirst,\r\n');
    server.write('last');
    expect((await client.bytes(9)).toString()).toBe('4\r\nlast\r\n');
    server.end();
    expect((await client.bytes(5)).toString()).toBe('0\r\n\r\n');
    // The client's connection serves on.
    accepted = [];
    client.write(`GET /next HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    (await eventually(() => accepted[0])).write('HTTP/1.1 204 No Content\r\n\r\n');
    expect((await client.reply()).status).toBe(204);
    client.destroy();
  });

  it('a client that half-closes behind its request still gets the answer', async () => {
    const { client, server } = await begin(`GET /half HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    // close_notify, then FIN
    client.socket.end();
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n');
    await client.head();
    server.write('okay');
    expect((await client.rest()).toString()).toBe('okay');
    expect(await theRecord(world, { kind: 'end', path: '/half' })).toMatchObject({
      ended: 'done',
      status: 200,
    });
  });
});

describeWith(['curl'], 'curl with a large upload', () => {
  it('waits for the upstream’s 100, then sends every byte', async () => {
    const upstream = await httpUpstream({
      name: 'api.test',
      answer: (request, response) => {
        response.end(
          `${request.headers.expect ?? ''} ${createHash('sha256').update(request.body).digest('hex')}`,
        );
      },
    });
    const at = `api.test:${upstream.port}`;
    const world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at)]) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
    const bytes = randomBytes(3 * 1024 * 1024);
    const file = `${world.dir}/upload`;
    writeFileSync(file, bytes);
    const ca = world.write('ca.pem', world.caPem);
    const proxy = `http://127.0.0.1:${world.port}`;
    const args = [
      '-sS',
      '--http1.1',
      '--cacert',
      ca,
      '-x',
      proxy,
      '-H',
      'Expect: 100-continue',
      '-T',
      file,
      `https://${at}/put`,
    ];
    const { stdout } = await run('curl', [...args, '--expect100-timeout', '20']);
    expect(stdout).toBe(`100-continue ${createHash('sha256').update(bytes).digest('hex')}`);
    await world.stop();
    await upstream.close();
  });
});
