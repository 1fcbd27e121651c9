/** Many bytes arrive as they were sent, in both directions, by tunnel and by interception. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { connect, connectTls } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const TOTAL = 16 * 1024 * 1024;

/** The same bytes each time, every piece different; odd sizes, so that nothing falls on buffer borders. */
function* pieces(total: number): Generator<Buffer> {
  let sent = 0;
  for (let index = 0; sent < total; index += 1) {
    const piece = createHash('shake256', { outputLength: 60_001 }).update(String(index)).digest();
    const cut = piece.subarray(0, Math.min(piece.length, total - sent));
    sent += cut.length;
    yield cut;
  }
}

async function pour(sink: Duplex, frame: (piece: Buffer) => Buffer = (piece) => piece): Promise<void> {
  for (const piece of pieces(TOTAL)) if (!sink.write(frame(piece))) await once(sink, 'drain');
}

const wanted = (() => {
  const sum = createHash('sha256');
  for (const piece of pieces(TOTAL)) sum.update(piece);
  return sum.digest('hex');
})();

describe('bulk transfer', () => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let web: Upstream;
  let world: World;

  beforeAll(async () => {
    // Answers with the hash of what came, then pours the same bytes back.
    raw = await rawUpstream((socket) => {
      const sum = createHash('sha256');
      socket.on('data', (bytes: Buffer) => sum.update(bytes));
      socket.on('end', () => {
        socket.write(sum.digest('hex'));
        void pour(socket).then(() => socket.end());
      });
    });
    web = await httpUpstream({
      name: 'web.test',
      answer: (request, response) => {
        response.setHeader('x-hash', createHash('sha256').update(request.body).digest('hex'));
        if (request.url === '/length') response.setHeader('content-length', TOTAL);
        void (async () => {
          for (const piece of pieces(TOTAL)) if (!response.write(piece)) await once(response, 'drain');
          response.end();
        })();
      },
    });
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
          intercepted(`web.test:${web.port}`),
        ]),
      },
      hosts: { 'raw.test': ['127.0.0.1'], 'web.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await raw.close();
    await web.close();
  });

  it('a tunnel carries 16 MiB up and 16 MiB down unchanged', async () => {
    const client = await connect(world.port, `raw.test:${raw.port}`);
    client.socket.removeAllListeners('data');
    const sum = createHash('sha256');
    let told = '';
    let down = 0;
    client.socket.on('data', (bytes: Buffer) => {
      const rest = told.length < 64 ? bytes.subarray(64 - told.length) : bytes;
      told += bytes.subarray(0, bytes.length - rest.length).toString();
      down += rest.length;
      sum.update(rest);
    });
    await pour(client.socket);
    client.socket.end();
    await once(client.socket, 'end');
    expect(told).toBe(wanted);
    expect(down).toBe(TOTAL);
    expect(sum.digest('hex')).toBe(wanted);
    const end = await theRecord(world, { kind: 'end', host: 'raw.test' });
    expect(end).toMatchObject({ bytes_up: TOTAL, bytes_down: TOTAL + 64, ended: 'done' });
  });

  it.each([
    ['/length', 'content-length', `Content-Length: ${TOTAL}\r\n`],
    ['/chunked', 'chunked', 'Transfer-Encoding: chunked\r\n'],
  ])('interception carries 16 MiB both ways unchanged: %s, framed by %s', async (path, kind, framing) => {
    const at = `web.test:${web.port}`;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    client.write(`POST ${path} HTTP/1.1\r\nHost: ${at}\r\n${framing}\r\n`);
    const chunk = (piece: Buffer) =>
      Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
    await (kind === 'chunked' ? pour(client.socket, chunk) : pour(client.socket));
    if (kind === 'chunked') client.write('0\r\n\r\n');
    const reply = await client.reply({ limitMs: 30_000 });
    expect(reply.field('x-hash')).toBe(wanted);
    expect(createHash('sha256').update(reply.body).digest('hex')).toBe(wanted);
    expect(reply.field(kind === 'chunked' ? 'transfer-encoding' : 'content-length')).toBeDefined();
    client.destroy();
    const end = await theRecord(world, { kind: 'end', path });
    expect(end).toMatchObject({ bytes_up: TOTAL, bytes_down: TOTAL, status: 200, ended: 'done' });
  });
});
