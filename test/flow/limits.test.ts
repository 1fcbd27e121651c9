/** Limits of a group (contract 3), on every way that traffic is carried: what counts, what is refused, what is cut. */
import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MemoryStore } from '../../src/state/memory.ts';
import type { StateStore } from '../../src/state/store.ts';
import { intercepted, metricSum, policy, records, theRecord, tunnelled } from '../helpers/scene.ts';
import {
  askOnce,
  connect,
  connectText,
  connectTls,
  open,
  type Reply,
  type Talk,
  tryConnect,
} from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World, type WorldOptions } from '../helpers/world.ts';

const KIB = 1024;
let plain: Upstream;
let web: Upstream;
let echo: Awaited<ReturnType<typeof rawUpstream>>;
let worlds: World[] = [];
let clients: Talk[] = [];

beforeAll(async () => {
  plain = await httpUpstream({
    answer: (request, response) => response.end('y'.repeat(sizeOf(request.url))),
  });
  web = await httpUpstream({
    name: 'web.test',
    answer: (request, response) => response.end('y'.repeat(sizeOf(request.url))),
  });
  echo = await rawUpstream((socket: Socket) => void socket.pipe(socket));
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  for (const world of worlds) await world.stop();
  clients = [];
  worlds = [];
});
afterAll(() => Promise.all([plain.close(), web.close(), echo.close()]));

/** Body length that a test asks for: `/?bytes=100`. */
function sizeOf(url: string): number {
  return Number(url.split('bytes=')[1] ?? 2);
}

function agents(limits: string, more = ''): string {
  const rules = [
    tunnelled(`echo.test:${echo.port}`, 'protocol: any'),
    intercepted(`web.test:${web.port}`),
    intercepted(`plain.test:${plain.port}`),
  ];
  return policy(rules, { more: `${limits === '' ? '' : `limits: { ${limits} }\n`}${more}` });
}

async function worldOf(limits: string, options: Partial<WorldOptions> = {}, more = ''): Promise<World> {
  const world = await makeWorld({
    policies: { 'agents.yaml': agents(limits, more) },
    hosts: { 'echo.test': ['127.0.0.1'], 'web.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'] },
    ...options,
  });
  worlds.push(world);
  return world;
}

const echoAt = (): string => `echo.test:${echo.port}`;
const webAt = (): string => `web.test:${web.port}`;

function kept(client: Talk): Talk {
  clients.push(client);
  return client;
}

function getPlain(bytes = 2): string {
  return `GET http://plain.test:${plain.port}/?bytes=${bytes} HTTP/1.1\r\nHost: plain.test:${plain.port}\r\n\r\n`;
}

function get(path = '/'): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${webAt()}\r\n\r\n`;
}

async function tunnel(world: World): Promise<Reply> {
  const { client, answer } = await tryConnect(world.port, echoAt());
  if (answer.status === 200) kept(client);
  return answer;
}

async function inside(world: World): Promise<Talk> {
  return kept(await connectTls(world.port, webAt(), { ca: world.caPem }));
}

describe('open connections', () => {
  it('are counted over tunnels, intercepted and plain ones, and refused as too_many_connections', async () => {
    const world = await worldOf('connections: 3');
    expect((await tunnel(world)).status).toBe(200);
    expect((await (await inside(world)).ask(get())).status).toBe(200);
    expect((await kept(await open(world.port)).ask(getPlain())).status).toBe(200);
    const refused = await tunnel(world);
    expect(refused.json()).toMatchObject({ status: 429, reason: 'too_many_connections', group: 'agents' });
    expect(refused.field('retry-after')).toBe('1');
    expect(refused.field('x-should-retry')).toBeUndefined();
    const late = await kept(await open(world.port)).ask(getPlain());
    expect(late.json()).toMatchObject({ status: 429, reason: 'too_many_connections' });
    const found = await records(world, { kind: 'decision', reason: 'too_many_connections' });
    expect(found.map(({ stage, verdict }) => [stage, verdict])).toEqual([
      ['connect', 'deny'],
      ['request', 'deny'],
    ]);
    expect(await metricSum(world, 'sallyport_decisions_total', ['reason="too_many_connections"'])).toBe(2);
  });

  it('are free again once the socket is closed, whoever closes it and whenever', async () => {
    const world = await worldOf('connections: 1');
    const left = await open(world.port);
    left.write(connectText(echoAt()));
    left.reset();
    for (const leave of ['destroy', 'reset'] as const) {
      const client = await eventually(async () => {
        const { client: made, answer } = await tryConnect(world.port, echoAt());
        return answer.status === 200 ? made : null;
      });
      client[leave]();
    }
    await eventually(() => world.proxy.parts.limits.view('agents').connections?.used === 0);
    expect((await tunnel(world)).status).toBe(200);
  });

  it('do not hold the place of a connection whose own request was refused', async () => {
    const world = await worldOf('connections: 1');
    for (let n = 0; n < 3; n += 1) {
      const { answer } = await tryConnect(world.port, 'evil.test:443');
      expect(answer.json()).toMatchObject({ reason: 'host_not_allowed' });
    }
    expect((await tunnel(world)).status).toBe(200);
  });

  it('count once for many plain requests on one of them', async () => {
    const world = await worldOf('connections: 1');
    const client = kept(await open(world.port));
    for (let n = 0; n < 3; n += 1) expect((await client.ask(getPlain())).status).toBe(200);
    expect(world.proxy.parts.limits.view('agents').connections).toEqual({ limit: 1, used: 1 });
  });

  it('that were open before a limit came count when it comes', async () => {
    const world = await worldOf('');
    expect((await tunnel(world)).status).toBe(200);
    expect((await tunnel(world)).status).toBe(200);
    world.setPolicy('agents.yaml', agents('connections: 2'));
    expect((await tunnel(world)).json()).toMatchObject({ reason: 'too_many_connections' });
    world.setPolicy('agents.yaml', agents('connections: 3'));
    expect((await tunnel(world)).status).toBe(200);
    expect((await tunnel(world)).json()).toMatchObject({ reason: 'too_many_connections' });
  });
});

describe('requests', () => {
  it('are counted over all ways, and the wait that is told is long enough', async () => {
    const clock = movableClock();
    const world = await worldOf('requests: 3/m', { clock });
    expect((await tunnel(world)).status).toBe(200);
    const client = await inside(world);
    expect((await client.ask(get())).status).toBe(200);
    expect((await askOnce(world.port, getPlain())).status).toBe(200);
    const refused = await client.ask(get());
    expect(refused.json()).toMatchObject({ status: 429, reason: 'rate_limited' });
    expect((await askOnce(world.port, getPlain())).json()).toMatchObject({ reason: 'rate_limited' });
    expect((await tunnel(world)).json()).toMatchObject({ reason: 'rate_limited' });
    const wait = Number(refused.field('retry-after'));
    expect(wait).toBeGreaterThan(15);
    expect(wait).toBeLessThanOrEqual(20);
    clock.advance((wait - 5) * 1_000);
    expect((await client.ask(get())).status).toBe(429);
    clock.advance(5_000);
    expect((await client.ask(get())).status).toBe(200);
    expect((await client.ask(get())).status).toBe(429);
  });

  it('that a rule refuses do not count', async () => {
    const world = await worldOf('requests: 1/h');
    const client = await inside(world);
    expect((await client.ask(`PATCH / HTTP/1.1\r\nHost: ${webAt()}\r\n\r\n`)).status).toBe(403);
    expect((await client.ask(get())).status).toBe(200);
    expect((await client.ask(get())).status).toBe(429);
    const seen = await records(world, { kind: 'decision', stage: 'request' });
    expect(seen.map(({ verdict, reason }) => reason ?? verdict)).toEqual([
      'method_not_allowed',
      'allow',
      'rate_limited',
    ]);
  });

  it('of one group do not count for another', async () => {
    const other = policy([intercepted(`plain.test:${plain.port}`)], {
      group: 'other',
      sources: '127.0.0.9/32',
      more: 'limits: { requests: 1/h }\n',
    });
    const world = await worldOf('requests: 1/h', {
      policies: { 'agents.yaml': agents('requests: 1/h'), 'other.yaml': other },
    });
    const ask = async (localAddress: string) =>
      (await askOnce(world.port, getPlain(), { localAddress })).status;
    expect([
      await ask('127.0.0.1'),
      await ask('127.0.0.1'),
      await ask('127.0.0.9'),
      await ask('127.0.0.9'),
    ]).toEqual([200, 429, 200, 429]);
  });

  it('that were counted stay so over a reload, and are measured by the new limit', async () => {
    const world = await worldOf('requests: 2/h');
    for (const status of [200, 200, 429]) expect((await askOnce(world.port, getPlain())).status).toBe(status);
    world.setPolicy('agents.yaml', agents('requests: 2/h', 'description: changed\n'));
    expect((await askOnce(world.port, getPlain())).status).toBe(429);
    world.setPolicy('agents.yaml', agents('requests: 3/h'));
    for (const status of [200, 429]) expect((await askOnce(world.port, getPlain())).status).toBe(status);
    world.setPolicy('agents.yaml', agents(''));
    expect((await askOnce(world.port, getPlain())).status).toBe(200);
  });
});

describe('budgets', () => {
  it('cut a tunnel when it moves more than is left, either way, and refuse what comes next', async () => {
    for (const direction of ['upload', 'download']) {
      const world = await worldOf(`${direction}: 1MiB/d`);
      const client = kept(await connect(world.port, echoAt()));
      client.socket.on('data', () => {});
      const block = Buffer.alloc(64 * KIB, 'x');
      const pump = setInterval(() => client.write(block), 1);
      await client.over();
      clearInterval(pump);
      const ended = await theRecord(world, { kind: 'end', ended: 'cut' });
      expect(ended).toMatchObject({ reason: 'budget_spent', status: 200 });
      const moved = Number(ended[direction === 'upload' ? 'bytes_up' : 'bytes_down']);
      expect(moved).toBeGreaterThan(512 * KIB);
      expect(moved).toBeLessThanOrEqual(1_088 * KIB);
      const next = await tunnel(world);
      expect(next.json()).toMatchObject({ status: 403, reason: 'budget_spent' });
      expect(next.json()['detail']).toContain(`${direction} of 1MiB/d`);
      expect(next.field('x-should-retry')).toBe('false');
      expect(next.field('retry-after')).toBeUndefined();
    }
  });

  it('cut an answer that is larger than what is left, so that it cannot look complete', async () => {
    const world = await worldOf('download: 1MiB/d');
    const client = await inside(world);
    expect((await client.ask(get(`/?bytes=${900 * KIB}`))).status).toBe(200);
    client.write(get(`/?bytes=${4 * KIB * KIB}`));
    expect((await client.head()).status).toBe(200);
    await client.over();
    expect((await client.rest()).length).toBeLessThanOrEqual(200 * KIB);
    expect(await theRecord(world, { kind: 'end', stage: 'request', ended: 'cut' })).toMatchObject({
      reason: 'budget_spent',
    });
  });

  it('answer 403 to an upload that is larger than what is left, and the upstream gets no whole request', async () => {
    const world = await worldOf('upload: 1MiB/d');
    const seen = plain.seen.length;
    const client = kept(await open(world.port));
    const length = 4 * KIB * KIB;
    client.write(
      `POST http://plain.test:${plain.port}/ HTTP/1.1\r\nHost: plain.test:${plain.port}\r\nContent-Length: ${length}\r\n\r\n`,
    );
    client.write(Buffer.alloc(length, 'x'));
    expect((await client.reply()).json()).toMatchObject({ status: 403, reason: 'budget_spent' });
    expect((await theRecord(world, { kind: 'end', ended: 'cut' }))['reason']).toBe('budget_spent');
    expect(plain.seen.length).toBe(seen);
  });

  it('are counted to the byte between requests, and refuse inside open connections, too', async () => {
    const world = await worldOf('download: 10KiB/d');
    const client = await inside(world);
    expect((await client.ask(get(`/?bytes=${10 * KIB - 1}`))).status).toBe(200);
    expect((await client.ask(get('/?bytes=1'))).status).toBe(200);
    expect((await client.ask(get())).json()).toMatchObject({ status: 403, reason: 'budget_spent' });
    expect((await askOnce(world.port, getPlain())).json()).toMatchObject({ reason: 'budget_spent' });
    const status = world.proxy.parts.limits.view('agents');
    expect(status.download).toEqual({ limit: '10KiB/d', used: 10 * KIB });
  });

  it('count the heads of requests as uploads: a URL carries data out as well as a body', async () => {
    const world = await worldOf('upload: 10KiB/d');
    const client = await inside(world);
    const long = `/?told=${'x'.repeat(6 * KIB)}`;
    const answers = [
      await client.ask(get(long)),
      await client.ask(get(long)),
      await askOnce(world.port, getPlain()),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 403, 403]);
    expect(answers[1]?.json()['reason']).toBe('budget_spent');
  });

  it('begin anew with the window, and follow a reload', async () => {
    const clock = movableClock();
    const world = await worldOf('download: 10KiB/h', { clock });
    const ask = async (bytes = 2) => (await askOnce(world.port, getPlain(bytes))).status;
    expect([await ask(10 * KIB), await ask()]).toEqual([200, 403]);
    world.setPolicy('agents.yaml', agents('download: 20KiB/h'));
    expect([await ask(10 * KIB), await ask()]).toEqual([200, 403]);
    clock.advance(3_600_000);
    expect(await ask()).toBe(200);
  });
});

describe('in monitor mode', () => {
  it('limits are recorded as would_deny and lifted', async () => {
    const world = await worldOf('connections: 1, requests: 1/h, download: 1KiB/d', {}, 'mode: monitor\n');
    for (let n = 0; n < 2; n += 1)
      expect((await kept(await open(world.port)).ask(getPlain(4 * KIB))).status).toBe(200);
    expect((await (await inside(world)).ask(get())).status).toBe(200);
    const found = await records(world, { kind: 'decision' });
    expect(found.map(({ stage, verdict, reason }) => [stage, verdict, reason ?? null])).toEqual([
      ['request', 'allow', null],
      ['request', 'would_deny', 'too_many_connections'],
      ['connect', 'would_deny', 'too_many_connections'],
      ['request', 'would_deny', 'budget_spent'],
    ]);
    expect(
      await metricSum(world, 'sallyport_decisions_total', ['verdict="would_deny"', 'reason="budget_spent"']),
    ).toBe(1);
  });
});

describe('a store that answers late', () => {
  /** Keeps every answer until the test lets it go. */
  function lateStore(inner: StateStore): { store: StateStore; waiting: (() => void)[] } {
    const waiting: (() => void)[] = [];
    const store: StateStore = {
      take: (ask, told) => inner.take(ask, (...answer) => void waiting.push(() => told(...answer))),
      spend: (ask, told) => inner.spend(ask, told),
      hold: (ask, told) => inner.hold(ask, (...answer) => void waiting.push(() => told(...answer))),
      release: (key) => inner.release(key),
    };
    return { store, waiting };
  }
  const clock = movableClock();

  it('is waited for, with the body that comes meanwhile', async () => {
    const { store, waiting } = lateStore(new MemoryStore(clock));
    const world = await worldOf('connections: 1, requests: 1/h', { store });
    const client = kept(await open(world.port));
    client.write(
      `POST http://plain.test:${plain.port}/ HTTP/1.1\r\nHost: plain.test:${plain.port}\r\nContent-Length: 5\r\n\r\nhel`,
    );
    (await eventually(() => waiting.pop()))();
    client.write('lo');
    (await eventually(() => waiting.pop()))();
    expect((await client.reply()).status).toBe(200);
    expect(plain.seen.at(-1)?.body.toString()).toBe('hello');
  });

  it('that lets in a client who has left gets the place back, and nothing is dialled', async () => {
    const { store, waiting } = lateStore(new MemoryStore(clock));
    const world = await worldOf('connections: 1', { store });
    const before = echo.connections();
    const client = await open(world.port);
    client.write(connectText(echoAt()));
    const answer = await eventually(() => waiting.pop());
    client.reset();
    await theRecord(world, { kind: 'end', ended: 'client_abort' });
    answer();
    expect(echo.connections()).toBe(before);
    const next = open(world.port);
    const second = kept(await next);
    second.write(connectText(echoAt()));
    (await eventually(() => waiting.pop()))();
    expect((await second.head()).status).toBe(200);
  });
});

describe('the share of a group', () => {
  it('of all connections is kept for it: silent ones of another sandbox do not lock it out', async () => {
    const other = policy([intercepted(`plain.test:${plain.port}`)], {
      group: 'other',
      sources: '127.0.0.9/32',
    });
    const world = await worldOf('', {
      policies: { 'agents.yaml': agents(''), 'other.yaml': other },
      caps: { connections: 30 },
    });
    const silent: Talk[] = [];
    for (let n = 0; n < 30; n += 1) silent.push(kept(await open(world.port)));
    const refused = kept(await open(world.port));
    const answer = await refused.reply();
    expect(answer.json()).toMatchObject({ status: 503, reason: 'overloaded', group: 'agents' });
    expect(answer.field('retry-after')).toBe('1');
    expect((await records(world, { kind: 'decision', reason: 'overloaded' })).length).toBeGreaterThan(0);
    for (let n = 0; n < 5; n += 1) {
      const mine = kept(await open(world.port, { localAddress: '127.0.0.9' }));
      expect((await mine.ask(getPlain())).status).toBe(200);
    }
    for (const client of silent) client.destroy();
    await eventually(async () => (await tunnel(world)).status === 200);
  });

  it('is what a token’s group has, wherever the connection comes from', async () => {
    const world = await worldOf('', {
      caps: { connections: 64 },
      policies: {
        'agents.yaml': policy([intercepted(`plain.test:${plain.port}`)], { sources: '192.0.2.0/24' }),
      },
    });
    const silent: Talk[] = [];
    for (let n = 0; n < 4; n += 1) silent.push(kept(await open(world.port)));
    expect((await kept(await open(world.port)).reply()).json()).toMatchObject({ reason: 'overloaded' });
    const elsewhere = kept(await open(world.port, { localAddress: '127.0.0.9' }));
    expect((await elsewhere.ask(getPlain())).status).toBe(407);
  });
});
