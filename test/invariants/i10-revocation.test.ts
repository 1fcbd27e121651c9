/**
 * I10: after a reload, a revocation or an expiry no live flow outlives a verdict that would now refuse it: cut
 * within 5 s, whatever state it is in. A reload that still allows leaves it alone.
 */
import type http from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { intercepted, policy, records, tunnelled } from '../helpers/scene.ts';
import { connect, connectTls, open, type Talk } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

const LIMIT_MS = 5_000;

type Open = { readonly client: Talk; readonly name: string };

describe('I10: no flow outlives its verdict', () => {
  const responses: http.ServerResponse[] = [];
  let web: Upstream;
  let plain: Upstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let clock: ReturnType<typeof movableClock>;
  let world: World;
  let flows: Open[] = [];

  beforeAll(async () => {
    const answer = (_request: unknown, response: http.ServerResponse): void => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
      responses.push(response);
    };
    web = await httpUpstream({ name: 'web.test', answer });
    plain = await httpUpstream({ answer });
    raw = await rawUpstream((socket) => socket.resume());
  });
  afterAll(async () => {
    await web.close();
    await plain.close();
    await raw.close();
  });

  const rules = (...without: string[]): string[] =>
    [
      tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
      intercepted(`web.test:${web.port}`),
      intercepted(`plain.test:${plain.port}`),
    ].filter((rule) => !without.some((name) => rule.includes(name)));

  beforeEach(async () => {
    flows = [];
    clock = movableClock();
    world = await makeWorld({
      policies: { 'agents.yaml': policy(rules(), { sources: '127.0.0.1/32' }) },
      hosts: { 'raw.test': ['127.0.0.1'], 'web.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'] },
      clock,
    });
  });
  afterEach(async () => {
    for (const { client } of flows) client.destroy();
    await world.stop();
  });

  /** One flow of every kind and state. */
  const openAll = async (headers = ''): Promise<void> => {
    const others = world.proxy.parts.live.connectionsOpen().length;
    const add = (name: string, client: Talk): void => void flows.push({ name, client });
    const { port, caPem: ca } = world;
    const rawAt = `raw.test:${raw.port}`;
    const webAt = `web.test:${web.port}`;
    add('a tunnel', await connect(port, rawAt, { headers }));
    const half = await connect(port, rawAt, { headers });
    half.socket.end('the client has ended its side');
    add('a half-open tunnel', half);
    add('an intercepted connection before TLS', await connect(port, webAt, { headers }));
    add('an idle intercepted connection', await connectTls(port, webAt, { ca, headers }));
    const stream = await connectTls(port, webAt, { ca, headers });
    stream.write(`GET /events HTTP/1.1\r\nHost: ${webAt}\r\n\r\n`);
    await stream.bytes(20);
    add('a streaming response', stream);
    const upload = await connectTls(port, webAt, { ca, headers });
    upload.write(`POST /up HTTP/1.1\r\nHost: ${webAt}\r\nContent-Length: 100\r\n\r\nsome`);
    await eventually(async () => (await records(world, { kind: 'decision', path: '/up' })).length > 0);
    add('an upload under way', upload);
    const absolute = await open(port);
    absolute.write(
      `GET http://plain.test:${plain.port}/events HTTP/1.1\r\nHost: plain.test:${plain.port}\r\n${headers}\r\n`,
    );
    await absolute.bytes(20);
    add('a plain streaming response', absolute);
    await eventually(() => world.proxy.parts.live.connectionsOpen().length === others + flows.length);
  };

  const allCut = async (which: (name: string) => boolean = () => true): Promise<void> => {
    const started = Date.now();
    for (const { client, name } of flows.filter((flow) => which(flow.name))) {
      await client.over(LIMIT_MS).catch(() => {
        throw new Error(`${name} lives on`);
      });
    }
    expect(Date.now() - started).toBeLessThan(LIMIT_MS);
  };

  it('a reload that takes the hosts away cuts every flow, and records each as cut', async () => {
    await openAll();
    world.setPolicy('agents.yaml', policy([], { sources: '127.0.0.1/32' }));
    await allCut();
    await eventually(() => world.proxy.parts.live.connectionsOpen().length === 0);
    const ends = await records(world, { kind: 'end', ended: 'cut' });
    expect(ends.length).toBeGreaterThanOrEqual(flows.length);
    for (const end of ends) expect(end['reason']).toBe('host_not_allowed');
    await eventually(
      () => world.proxy.parts.pool.stats().busy === 0 && world.proxy.parts.pool.stats().idle === 0,
    );
  });

  it('a reload that takes one host away cuts its flows and leaves the others alone', async () => {
    await openAll();
    world.setPolicy('agents.yaml', policy(rules('raw.test'), { sources: '127.0.0.1/32' }));
    await allCut((name) => name.includes('tunnel'));
    const stream = flows.find(({ name }) => name === 'a streaming response')?.client;
    const before = responses.length;
    for (const response of responses) response.write('data: 2\n\n');
    expect((await stream?.bytes(1))?.toString()).toContain('data: 2');
    const idle = flows.find(({ name }) => name === 'an idle intercepted connection')?.client;
    idle?.write(`GET /next HTTP/1.1\r\nHost: web.test:${web.port}\r\n\r\n`);
    expect((await idle?.head())?.status).toBe(200);
    expect(responses.length).toBe(before + 1);
  });

  it('a reload that now intercepts what was tunnelled cuts the tunnel', async () => {
    await openAll();
    world.setPolicy(
      'agents.yaml',
      policy([...rules('raw.test'), intercepted(`raw.test:${raw.port}`)], { sources: '127.0.0.1/32' }),
    );
    await allCut((name) => name.includes('tunnel'));
  });

  it('a group that loses the address cuts its flows', async () => {
    await openAll();
    world.setPolicy('agents.yaml', policy(rules(), { sources: '127.0.0.5/32' }));
    await allCut();
  });

  it('a revoked token cuts its flows, and not those of another identity', async () => {
    const { record, token } = world.proxy.parts.tokens.create({ group: 'agents' });
    const bystander = await connect(world.port, `raw.test:${raw.port}`);
    await openAll(`Proxy-Authorization: Bearer ${token}\r\n`);
    world.proxy.parts.tokens.revoke(record.id);
    await allCut();
    expect(world.proxy.parts.live.connectionsOpen()).toHaveLength(1);
    bystander.destroy();
  });

  it('an expired token cuts its flows', async () => {
    const { token } = world.proxy.parts.tokens.create({ group: 'agents', expiresMs: 60_000 });
    const tunnel = await connect(world.port, `raw.test:${raw.port}`, {
      headers: `Proxy-Authorization: Bearer ${token}\r\n`,
    });
    clock.advance(61_000);
    await tunnel.over(LIMIT_MS);
    expect(await records(world, { kind: 'end', ended: 'cut', reason: 'auth_invalid' })).toHaveLength(1);
  });
});
