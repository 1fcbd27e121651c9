import { once } from 'node:events';
import { createServer, type Server, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Vetted } from '../../src/base/upstream.ts';
import { type ConnectResult, createDialer, type DialLimits } from '../../src/dial/connect.ts';
import { connectFirst } from '../../src/dial/happy-eyeballs.ts';
import { createResolver } from '../../src/dial/resolve.ts';
import type { Denied } from '../../src/flow/reason.ts';
import type { OwnAddresses } from '../../src/policy/address-guard.ts';
import { blackHole } from '../helpers/black-hole.ts';
import { startDnsStub } from '../helpers/dns-stub.ts';
import { deadPort } from '../helpers/ports.ts';
import { listening, permitFor, portOf, stillClock } from '../unit/dial/kit.ts';

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

type Setup = {
  readonly hosts?: Record<string, string[]>;
  readonly servers?: string[];
  readonly own?: OwnAddresses;
  readonly limits?: Partial<DialLimits>;
  readonly dnsMs?: number;
};

function dialer(setup: Setup = {}) {
  const outcomes: ConnectResult[] = [];
  const clock = stillClock();
  const resolver = createResolver({
    servers: setup.servers ?? ['127.0.0.1:1'],
    hosts: setup.hosts ?? {},
    clock,
    limits: { tryMs: 1_000, totalMs: setup.dnsMs ?? 10_000 },
  });
  open.push(() => resolver.close());
  const made = createDialer({
    resolver,
    own: () => setup.own ?? { addresses: [], local: [], listeners: [] },
    tls: { ca: [] },
    onConnect: (outcome) => outcomes.push(outcome),
    limits: { staggerMs: 40, connectMs: 10_000, ...setup.limits },
  });
  return { ...made, outcomes, clock };
}

/** An upstream that counts who came and says hello. */
async function upstream(address = '127.0.0.1', port = 0) {
  const arrived: Socket[] = [];
  const server: Server = createServer((socket) => {
    arrived.push(socket);
    socket.on('error', () => socket.destroy());
    socket.write(`hello from ${address}`);
  });
  await listening(server, address, port);
  open.push(() => {
    for (const socket of arrived) socket.destroy();
    server.close();
  });
  return { port: portOf(server), arrived };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function connected(result: Socket | Denied): Socket {
  if (!(result instanceof Socket)) throw new Error(`refused: ${result.reason}`);
  open.push(() => result.destroy());
  return result;
}

async function greeting(socket: Socket): Promise<string> {
  const read: unknown[] = await once(socket, 'data');
  return String(read[0]);
}

describe('a dial by TCP', () => {
  it('reaches a literal and a name at the judged address', async () => {
    const { port } = await upstream();
    const dial = dialer({ hosts: { 'api.test': ['127.0.0.1'] } });
    for (const host of ['127.0.0.1', 'api.test']) {
      const socket = connected(await dial.tcp(permitFor({ host, port }), {}));
      expect(socket.remoteAddress).toBe('127.0.0.1');
      expect(await greeting(socket)).toBe('hello from 127.0.0.1');
    }
    expect(dial.outcomes).toEqual(['ok', 'ok']);
  });

  it('tells a refusal as connect_failed and forgets no socket', async () => {
    const dial = dialer();
    const result = await dial.tcp(permitFor({ host: '127.0.0.1', port: await deadPort() }), {});
    expect(result).toMatchObject({ kind: 'deny', reason: 'connect_failed' });
    expect(dial.outcomes).toEqual(['refused']);
  });

  it('gives up on a black hole after its limit', async () => {
    const hole = await blackHole();
    open.push(() => hole.close());
    const dial = dialer({ limits: { connectMs: 150 } });
    const result = await dial.tcp(permitFor({ host: '127.0.0.1', port: hole.port }), {});
    expect(result).toMatchObject({ kind: 'deny', reason: 'connect_timeout' });
    expect(dial.outcomes).toEqual(['timeout']);
  });

  it('leaves with its client while connecting', async () => {
    const hole = await blackHole();
    open.push(() => hole.close());
    const dial = dialer({ limits: { connectMs: 10_000 } });
    const gone = new AbortController();
    const result = dial.tcp(permitFor({ host: '127.0.0.1', port: hole.port }), { signal: gone.signal });
    setImmediate(() => gone.abort());
    expect(await result).toMatchObject({ reason: 'connect_failed' });
    expect(dial.outcomes).toEqual([]);
  });

  it('does not start for a client that has left already', async () => {
    const { port, arrived } = await upstream();
    const result = await dialer().tcp(permitFor({ host: '127.0.0.1', port }), {
      signal: AbortSignal.abort(),
    });
    expect(result).toMatchObject({ reason: 'connect_failed' });
    expect(arrived).toEqual([]);
  });
});

describe('a tunnel’s dial', () => {
  const onread = { buffer: Buffer.alloc(1024), callback: () => true };
  const vetted = (found: Vetted | Denied | null): Vetted => {
    if (found === null || 'kind' in found) throw new Error('not vetted');
    return found;
  };

  it('hands bytes to the caller’s own buffer, and keeps the way open after the other side’s FIN', async () => {
    const server = await listening(createServer({ allowHalfOpen: true }, (socket) => socket.end('bye')));
    open.push(() => server.close());
    const dial = dialer();
    const at = permitFor({ host: '127.0.0.1', port: portOf(server) });
    const buffer = Buffer.alloc(1024);
    let read = '';
    const callback = (length: number): boolean => {
      read += buffer.toString('latin1', 0, length);
      return true;
    };
    const half = await new Promise<Socket | Denied>((resolve) => {
      dial.open(at, { vetted: vetted(dial.vetNow(at)), onread: { buffer, callback } }, resolve);
    }).then(connected);
    half.resume();
    await once(half, 'end');
    expect(read).toBe('bye');
    expect(half.writable).toBe(true);
    expect(dial.outcomes).toEqual(['ok']);
  });

  it('says nothing any more once it was given up', async () => {
    const { port, arrived } = await upstream();
    const dial = dialer();
    const at = permitFor({ host: '127.0.0.1', port });
    const told: unknown[] = [];
    dial.open(at, { vetted: vetted(dial.vetNow(at)), onread }, (found) => told.push(found)).leave();
    await dial.tcp(at, {}).then(connected);
    await nextTurn();
    expect(told).toEqual([]);
    expect(arrived).toHaveLength(1);
  });

  it('takes addresses that were judged for the very same permit alone', () => {
    const dial = dialer();
    const at = permitFor({ host: '127.0.0.1', port: 9 });
    const others = vetted(dial.vetNow(permitFor({ host: '127.0.0.1', port: 9 })));
    for (const foreign of [others, { addresses: ['127.0.0.1'] }]) {
      expect(() => dial.open(at, { vetted: foreign, onread }, () => {})).toThrow(
        'not judged for this permit',
      );
    }
  });
});

describe('several addresses', () => {
  it('pass over one that refuses, at once', async () => {
    const { port, arrived } = await upstream('127.0.0.1');
    const dial = dialer({
      hosts: { 'api.test': ['::1', '127.0.0.1'] },
      limits: { staggerMs: 60_000, connectMs: 20_000 },
    });
    const socket = connected(await dial.tcp(permitFor({ host: 'api.test', port }), {}));
    expect(socket.remoteAddress).toBe('127.0.0.1');
    expect(arrived).toHaveLength(1);
  });

  it('pass over a black hole after the head start, and leave nothing behind', async () => {
    const hole = await blackHole('127.0.0.2');
    open.push(() => hole.close());
    const { arrived } = await upstream('127.0.0.1', hole.port);
    const dial = dialer({ hosts: { 'api.test': ['127.0.0.2', '127.0.0.1'] }, limits: { connectMs: 20_000 } });
    const from = performance.now();
    const socket = connected(await dial.tcp(permitFor({ host: 'api.test', port: hole.port }), {}));
    expect(socket.remoteAddress).toBe('127.0.0.1');
    expect(performance.now() - from).toBeLessThan(15_000);
    expect(arrived).toHaveLength(1);
    expect(
      process.getActiveResourcesInfo().filter((one) => one === 'TCPConnectWrap').length,
    ).toBeLessThanOrEqual(1);
  });

  it.each(['0.0.0.0', '::'])(
    'that the kernel takes to mean another one (%s) are not accepted',
    async (address) => {
      const { port, arrived } = await upstream(address === '::' ? '::1' : '127.0.0.1');
      const outcome = await connectFirst({ addresses: [address], port, staggerMs: 40, limitMs: 10_000 });
      expect(outcome).toEqual({ kind: 'failed', why: 'elsewhere' });
      while (arrived[0]?.closed !== true) await nextTurn();
    },
  );

  it('that all refuse are connect_failed', async () => {
    const dial = dialer({ hosts: { 'api.test': ['127.0.0.1', '127.0.0.2', '127.0.0.3'] } });
    const result = await dial.tcp(permitFor({ host: 'api.test', port: await deadPort() }), {});
    expect(result).toMatchObject({ reason: 'connect_failed' });
    expect(dial.outcomes).toEqual(['refused']);
  });
});

describe('the address guard', () => {
  const address_not_allowed: unknown = expect.objectContaining({
    kind: 'deny',
    reason: 'address_not_allowed',
  });

  it.each([
    ['loopback', ['127.0.0.1']],
    ['a private address', ['10.0.0.7']],
    ['the metadata service', ['169.254.169.254']],
    ['one private answer among public ones', ['8.8.8.8', '8.8.4.4', '10.0.0.7']],
    ['an embedded address', ['8.8.8.8', '::ffff:10.0.0.1']],
    ['a 6to4 address', ['2002:7f00:1::']],
  ])('refuses a name that leads to %s, without a connect', async (_what, addresses) => {
    const { port, arrived } = await upstream();
    const dial = dialer({ hosts: { 'api.test': addresses } });
    const permit = permitFor({ host: 'api.test', port, addresses: [] });
    expect(await dial.vet(permit)).toEqual(address_not_allowed);
    expect(await dial.tcp(permit, {})).toEqual(address_not_allowed);
    expect(await dial.tls(permit, {})).toEqual(address_not_allowed);
    expect(arrived).toEqual([]);
    expect(dial.outcomes).toEqual([]);
  });

  it('judges literals by the same test', async () => {
    const { port, arrived } = await upstream();
    const dial = dialer();
    expect(await dial.tcp(permitFor({ host: '127.0.0.1', port, addresses: [] }), {})).toEqual(
      address_not_allowed,
    );
    expect(await dial.vet(permitFor({ host: '127.0.0.1', port }))).toMatchObject({
      addresses: ['127.0.0.1'],
    });
    expect(arrived).toEqual([]);
  });

  it('names neither the address nor another rule in its refusal', async () => {
    const dial = dialer({ hosts: { 'api.test': ['10.20.30.40'] } });
    const result = await dial.vet(permitFor({ host: 'api.test', port: 443, addresses: [] }));
    expect(JSON.stringify(result)).not.toContain('10.20.30.40');
    expect(result).toMatchObject({ rule: { line: 3 } });
  });

  it('never dials the proxy’s own listeners, even where the rule opens loopback', async () => {
    const { port, arrived } = await upstream();
    const dial = dialer({ own: { addresses: [], local: [], listeners: [{ address: '0.0.0.0', port }] } });
    expect(await dial.tcp(permitFor({ host: '127.0.0.1', port }), {})).toEqual(address_not_allowed);
    expect(arrived).toEqual([]);
  });

  it('judges every new answer: a rebound name is refused at its second one', async () => {
    const { port, arrived } = await upstream();
    const dns = await startDnsStub({
      'rebind.test': [
        { a: ['127.0.0.1'], ttl: 1 },
        { a: ['10.0.0.7'], ttl: 1 },
      ],
    });
    open.push(() => dns.close());
    const dial = dialer({ servers: [dns.address] });
    const permit = permitFor({ host: 'rebind.test', port });
    connected(await dial.tcp(permit, {}));
    dial.clock.tick(1_001);
    expect(await dial.tcp(permit, {})).toEqual(address_not_allowed);
    expect(arrived).toHaveLength(1);
  });

  it('passes on what the resolver says', async () => {
    const dns = await startDnsStub({ 'gone.test': { rcode: 'NXDOMAIN' }, 'slow.test': { silent: true } });
    open.push(() => dns.close());
    const told = (host: string, dnsMs: number) =>
      dialer({ servers: [dns.address], dnsMs }).tcp(permitFor({ host, port: 443 }), {});
    expect(await told('gone.test', 10_000)).toMatchObject({ reason: 'dns_failed' });
    expect(await told('slow.test', 400)).toMatchObject({ reason: 'dns_timeout' });
  });
});
