/**
 * Hundreds of megabytes each way, byte for byte, while the memory of a proxy in a process of its own stays small.
 * Its peak is read from the kernel, so that no moment is missed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import type http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import type { Duplex, Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { intercepted, policy, tunnelled } from '../helpers/scene.ts';
import { connect, connectTls } from '../helpers/talk.ts';
import { eventually, makeWorld, upstreamContext } from '../helpers/world.ts';

const PIECE = 256 * 1024;
const TOTAL = 256 * 1024 * 1024;
/** What a proxy may grow by, however much passes: buffers of both sockets, and the collector's slack. */
const GROWTH_KIB = 96 * 1024;

const onLinux = existsSync('/proc/self/status');

/** The same bytes each time, no two pieces alike. */
function* pieces(): Generator<Buffer> {
  for (let index = 0; index < TOTAL / PIECE; index += 1) {
    const piece = Buffer.alloc(PIECE, createHash('sha256').update(String(index)).digest());
    yield piece;
  }
}

async function pour(sink: Writable, frame = (piece: Buffer): Buffer => piece): Promise<void> {
  for (const piece of pieces()) if (!sink.write(frame(piece))) await once(sink, 'drain');
}

const wanted = (): string => {
  const sum = createHash('sha256');
  for (const piece of pieces()) sum.update(piece);
  return sum.digest('hex');
};

const chunk = (piece: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);

describe.skipIf(!onLinux)('bulk transfer in bounded memory', () => {
  const sum = wanted();
  let web: https.Server;
  let raw: net.Server;
  let child: ChildProcess;
  let port = 0;
  let caPem = '';
  let dir = '';
  let at = '';
  let rawAt = '';

  beforeAll(async () => {
    const answer: http.RequestListener = (request, response) => {
      if (request.method === 'GET') {
        if (request.url === '/sized') response.setHeader('content-length', TOTAL);
        void pour(response).then(() => response.end());
        return;
      }
      const got = createHash('sha256');
      request.on('data', (bytes: Buffer) => got.update(bytes));
      request.on('end', () => response.end(got.digest('hex')));
    };
    const context = upstreamContext('web.test');
    web = https.createServer({ SNICallback: (_name, done) => done(null, context) }, answer);
    // Hashes what comes, says so, and pours back.
    raw = net.createServer({ allowHalfOpen: true }, (socket) => {
      const got = createHash('sha256');
      socket.on('error', () => socket.destroy());
      socket.on('data', (bytes: Buffer) => got.update(bytes));
      socket.on('end', () => {
        socket.write(got.digest('hex'));
        void pour(socket).then(() => socket.end());
      });
    });
    for (const server of [web, raw]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    const portOf = (server: net.Server): number => {
      const address = server.address();
      return typeof address === 'object' && address !== null ? address.port : 0;
    };
    at = `web.test:${portOf(web)}`;
    rawAt = `raw.test:${portOf(raw)}`;
    port = await freePort();
    // A world lays out the files; the proxy that is measured is another process.
    const world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at), tunnelled(rawAt, 'protocol: any')]) },
      hosts: { 'web.test': ['127.0.0.1'], 'raw.test': ['127.0.0.1'] },
    });
    ({ dir, caPem } = world);
    await world.proxy.stop();
    child = spawn(process.execPath, [path.resolve('src/main.ts'), 'start'], {
      cwd: dir,
      env: { PATH: process.env['PATH'], SALLYPORT_PROXY_LISTEN: `127.0.0.1:${port}` },
      stdio: 'ignore',
    });
    await eventually(async () => {
      const socket = net.connect(port, '127.0.0.1');
      const { promise, resolve } = Promise.withResolvers<boolean>();
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
      return promise.finally(() => socket.destroy());
    }, 20_000);
    // What a first connection loads is not what bytes cost.
    const client = await connectTls(port, at, { ca: caPem });
    await client.ask(`POST /warm HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 1\r\n\r\nx`);
    client.destroy();
  });
  afterAll(async () => {
    child.kill();
    if (child.exitCode === null) await once(child, 'exit');
    web.closeAllConnections();
    web.close();
    raw.close();
    rmSync(dir, { recursive: true, force: true });
  });

  /** Kibibytes: the most that was resident so far. */
  const peak = (): number => {
    const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN);
  };
  let before = 0;
  const small = (): void => expect(peak() - before).toBeLessThan(GROWTH_KIB);

  /** Hashes what follows `skip` bytes, until all have come. */
  const hashed = async (socket: Duplex, skip: number): Promise<{ first: string; hash: string }> => {
    const got = createHash('sha256');
    let first = '';
    let count = 0;
    socket.removeAllListeners('data');
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.on('data', (bytes: Buffer) => {
      const head = bytes.subarray(0, Math.max(0, skip - first.length));
      first += head.toString('latin1');
      const rest = bytes.subarray(head.length);
      got.update(rest);
      count += rest.length;
      if (count >= TOTAL) resolve();
    });
    socket.on('close', () => resolve());
    await promise;
    return { first, hash: got.digest('hex') };
  };

  it('through a tunnel, up and down', async () => {
    before = peak();
    const client = await connect(port, rawAt);
    const down = hashed(client.socket, 64);
    await pour(client.socket);
    client.socket.end();
    expect(await down).toEqual({ first: sum, hash: sum });
    small();
  });

  it.each([
    ['sized', `Content-Length: ${TOTAL}\r\n\r\n`, (piece: Buffer): Buffer => piece],
    ['chunked', 'Transfer-Encoding: chunked\r\n\r\n', chunk],
  ])('uploaded through interception, %s', async (_name, framing, frame) => {
    const client = await connectTls(port, at, { ca: caPem });
    client.write(`PUT / HTTP/1.1\r\nHost: ${at}\r\n${framing}`);
    await pour(client.socket, frame);
    if (frame === chunk) client.write('0\r\n\r\n');
    expect((await client.reply({ limitMs: 30_000 })).body.toString()).toBe(sum);
    client.destroy();
    small();
  });

  it.each([
    ['a quick reader', false],
    ['a slow reader', true],
  ])('downloaded through interception by %s', async (_name, slow) => {
    const client = await connectTls(port, at, { ca: caPem });
    client.write(`GET /sized HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    const { head } = await client.head();
    expect(head).toContain(`Content-Length: ${TOTAL}\r\n`);
    client.socket.pause();
    const ahead = await client.bytes(0);
    const got = createHash('sha256').update(ahead);
    let count = ahead.length;
    client.socket.removeAllListeners('data');
    for await (const bytes of client.socket.iterator({ destroyOnReturn: false })) {
      if (!Buffer.isBuffer(bytes)) throw new Error('no bytes');
      got.update(bytes);
      count += bytes.length;
      if (count >= TOTAL) break;
      if (slow) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect([count, got.digest('hex')]).toEqual([TOTAL, sum]);
    client.destroy();
    small();
  });
});
