/** Bodies are passed on as they come: nothing waits for the end of a message. */
import type http from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, theRecord } from '../helpers/scene.ts';
import { connectTls } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('streaming', () => {
  const responses: http.ServerResponse[] = [];
  let upstream: Upstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let heard = '';
  let world: World;

  beforeAll(async () => {
    upstream = await httpUpstream({
      name: 'sse.test',
      answer: (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.flushHeaders();
        responses.push(response);
      },
    });
    raw = await rawUpstream(
      (socket) => {
        socket.on('data', (bytes: Buffer) => {
          heard += bytes.toString('latin1');
          if (heard.includes('\r\n\r\n') && /Expect/i.test(heard) && !heard.includes('body')) {
            socket.write('HTTP/1.1 100 Continue\r\n\r\n');
          }
          if (heard.endsWith('end') || heard.endsWith('kept\r\n\r\n')) {
            socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
          }
        });
      },
      { name: 'raw.test' },
    );
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          intercepted(`sse.test:${upstream.port}`),
          intercepted(`raw.test:${raw.port}`),
        ]),
      },
      hosts: { 'sse.test': ['127.0.0.1'], 'raw.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
    await raw.close();
  });

  it('events arrive one by one, each before the next is written', async () => {
    const at = `sse.test:${upstream.port}`;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    client.write(`GET /events HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    expect((await client.head()).field('transfer-encoding')).toBe('chunked');
    const response = await eventually(() => responses.at(-1));
    for (const event of ['data: one\n\n', 'data: two\n\n', 'data: three\n\n']) {
      response.write(event);
      expect((await client.bytes(event.length + 5)).toString()).toBe(
        `${event.length.toString(16)}\r\n${event}\r\n`,
      );
    }
    response.end();
    expect((await client.bytes(5)).toString()).toBe('0\r\n\r\n');
    client.destroy();
    expect(await theRecord(world, { kind: 'end', path: '/events' })).toMatchObject({
      ended: 'done',
      status: 200,
    });
  });

  const start = async () => {
    heard = '';
    const at = `raw.test:${raw.port}`;
    return { at, client: await connectTls(world.port, at, { ca: world.caPem }) };
  };

  it('chunks of an upload reach the upstream before the upload ends', async () => {
    const { at, client } = await start();
    client.write(
      `POST /up HTTP/1.1\r\nHost: ${at}\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nfirst\r\n`,
    );
    await eventually(() => heard.endsWith('5\r\nfirst\r\n'));
    client.write('6\r\nse');
    await eventually(() => heard.endsWith('2\r\nse\r\n'));
    client.write('cond\r\n0\r\nX-Trailer: kept\r\nHost: evil.test\r\n\r\n');
    expect((await client.reply()).body.toString()).toBe('ok');
    expect(heard).toMatch(/\r\nTransfer-Encoding: chunked\r\n/);
    expect(heard.endsWith('4\r\ncond\r\n0\r\nX-Trailer: kept\r\n\r\n')).toBe(true);
    client.destroy();
  });

  it('a client that expects 100-continue is told by the upstream, and then sends its body', async () => {
    const { at, client } = await start();
    client.write(`PUT /expect HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n`);
    const interim = await client.head();
    expect(interim.status).toBe(100);
    client.write('body,end');
    const final = await client.reply();
    expect([final.status, final.body.toString()]).toEqual([200, 'ok']);
    client.destroy();
  });

  it('a client that expects 100-continue for a refused request gets the refusal instead', async () => {
    const { at, client } = await start();
    client.write(`PATCH /no HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n`);
    const reply = await client.reply();
    expect(reply.json()).toMatchObject({ status: 403, reason: 'method_not_allowed' });
    expect(heard).toBe('');
    await client.over();
  });
});
