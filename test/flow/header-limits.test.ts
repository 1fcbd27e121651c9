/** Heads beyond the limits: 431, before and inside TLS, with nothing sent on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, theRecord } from '../helpers/scene.ts';
import { askOnce, connectTls } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const HUGE: readonly [string, string][] = [
  ['one very long field', `X-Long: ${'a'.repeat(20_000)}\r\n`],
  [
    'a head of more than 32 KiB',
    Array.from({ length: 40 }, (_, n) => `X-${n}: ${'a'.repeat(1_000)}\r\n`).join(''),
  ],
  ['more than 128 fields', Array.from({ length: 130 }, (_, n) => `X-${n}: a\r\n`).join('')],
];

describe('head limits', () => {
  let upstream: Upstream;
  let loud: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';

  beforeAll(async () => {
    upstream = await httpUpstream({ name: 'api.test' });
    loud = await rawUpstream(
      (socket) => socket.once('data', () => socket.write(`HTTP/1.1 200 OK\r\n${HUGE[1]?.[1]}\r\n`)),
      { name: 'api.test' },
    );
    at = `api.test:${upstream.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at), intercepted(`api.test:${loud.port}`)]) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
    await loud.close();
  });

  it.each(HUGE)('%s is 431 on the proxy port, for requests and for CONNECT', async (_what, fields) => {
    const get = await askOnce(world.port, `GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n${fields}\r\n`);
    expect(get.json()).toMatchObject({ status: 431, reason: 'header_too_large', group: 'agents' });
    const connect = await askOnce(world.port, `CONNECT ${at} HTTP/1.1\r\nHost: ${at}\r\n${fields}\r\n`);
    expect(connect.json()).toMatchObject({ status: 431, reason: 'header_too_large' });
  });

  it.each(HUGE)('%s is 431 inside TLS, and the upstream hears nothing', async (_what, fields) => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const reply = await client.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\n${fields}\r\n`);
    const id = String(reply.json()['request_id']);
    expect(reply.status).toBe(431);
    expect(await theRecord(world, { kind: 'decision', request_id: id })).toMatchObject({
      verdict: 'deny',
      host: 'api.test',
      group: 'agents',
    });
    await client.over();
    expect(upstream.seen).toEqual([]);
  });

  it('what stays below every limit passes', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const fields = Array.from({ length: 100 }, (_, n) => `X-${n}: ${'a'.repeat(100)}\r\n`).join('');
    const reply = await client.ask(`GET /fits HTTP/1.1\r\nHost: ${at}\r\n${fields}\r\n`);
    expect(reply.status).toBe(200);
    expect(upstream.seen.at(-1)?.headers['x-99']).toBe('a'.repeat(100));
    client.destroy();
  });

  it('an upstream’s head beyond the limits is 502 upstream_bad_response', async () => {
    const name = `api.test:${loud.port}`;
    const client = await connectTls(world.port, name, { ca: world.caPem });
    const reply = await client.ask(`GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
    expect(reply.json()).toMatchObject({ status: 502, reason: 'upstream_bad_response' });
    client.destroy();
  });
});
