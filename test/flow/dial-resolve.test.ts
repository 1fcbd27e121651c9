import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { FairShare } from '../../src/base/fair-share.ts';
import { createResolver, type LookupOutcome, type Resolver } from '../../src/dial/resolve.ts';
import { type DnsStub, type StubScript, startDnsStub } from '../helpers/dns-stub.ts';
import { deadPort } from '../helpers/ports.ts';
import { host, stillClock } from '../unit/dial/kit.ts';

const open: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function stub(zone: Record<string, StubScript | readonly StubScript[]>): Promise<DnsStub> {
  const server = await startDnsStub(zone);
  open.push(() => server.close());
  return server;
}

function resolver(over: Partial<Parameters<typeof createResolver>[0]> = {}) {
  const clock = stillClock();
  const outcomes: LookupOutcome[] = [];
  const made: Resolver = createResolver({
    servers: ['127.0.0.1:1'],
    hosts: {},
    clock,
    onLookup: (outcome) => outcomes.push(outcome),
    limits: { tryMs: 1_000, totalMs: 10_000 },
    ...over,
  });
  open.push(() => made.close());
  return Object.assign(made, { clock, outcomes });
}

const answers = (...addresses: string[]) => ({ kind: 'answers', addresses });
const refusal = (reason: string): unknown => expect.objectContaining({ kind: 'deny', reason });

describe('a lookup', () => {
  it('asks for A and AAAA of the complete name and gives both, IPv6 first', async () => {
    const dns = await stub({ 'api.example.com': { a: ['192.0.2.1', '192.0.2.2'], aaaa: ['2001:db8::0:1'] } });
    const names = resolver({ servers: [dns.address] });
    expect(await names.resolve(host('api.example.com'))).toEqual(
      answers('2001:db8::1', '192.0.2.1', '192.0.2.2'),
    );
    expect(dns.queries.map((one) => `${one.type} ${one.name}`).sort()).toEqual([
      'A api.example.com',
      'AAAA api.example.com',
    ]);
    expect(names.outcomes).toEqual(['ok']);
  });

  it('follows an alias inside the answer', async () => {
    const dns = await stub({ 'www.example.com': { cname: ['a.cdn.test', 'b.cdn.test'], a: ['192.0.2.1'] } });
    expect(await resolver({ servers: [dns.address] }).resolve(host('www.example.com'))).toEqual(
      answers('192.0.2.1'),
    );
  });

  it('ends an alias loop as a failure', async () => {
    const dns = await stub({ 'loop.test': { loop: true } });
    expect(await resolver({ servers: [dns.address] }).resolve(host('loop.test'))).toEqual(
      refusal('dns_failed'),
    );
  });

  it('asks again over TCP when the answer was cut short', async () => {
    const many = Array.from({ length: 100 }, (_, i) => `192.0.2.${i}`);
    const dns = await stub({ 'big.test': { a: many, truncate: true } });
    expect(await resolver({ servers: [dns.address] }).resolve(host('big.test'))).toEqual(answers(...many));
    expect(dns.queries.some((one) => one.via === 'tcp' && one.type === 'A')).toBe(true);
  });

  it.each(['id', 'question', 'query', 'garbage'] as const)(
    'does not take a packet with a wrong %s',
    async (forge) => {
      const dns = await stub({ 'api.test': { a: ['192.0.2.1'], forge } });
      expect(await resolver({ servers: [dns.address] }).resolve(host('api.test'))).toEqual(
        answers('192.0.2.1'),
      );
    },
  );

  it.each([
    ['there is no such name', { rcode: 'NXDOMAIN' }, 'dns_failed', 'nxdomain'],
    ['the name has no address', {}, 'dns_failed', 'nxdomain'],
    ['the server fails', { rcode: 'SERVFAIL' }, 'dns_failed', 'error'],
    ['the server refuses', { rcode: 'REFUSED' }, 'dns_failed', 'error'],
    ['the server does not recurse', { lame: true }, 'dns_failed', 'error'],
    ['nobody answers', { silent: true }, 'dns_timeout', 'timeout'],
  ] as const)('is refused when %s', async (_why, script, reason, outcome) => {
    const dns = await stub({ 'x.test': script });
    const limits = reason === 'dns_timeout' ? { limits: { tryMs: 150, totalMs: 500 } } : {};
    const names = resolver({ servers: [dns.address], ...limits });
    expect(await names.resolve(host('x.test'))).toEqual(refusal(reason));
    expect(names.outcomes).toEqual([outcome]);
  });

  it('goes on with the next server after a dead, a silent and a failing one', async () => {
    const dead = `127.0.0.1:${await deadPort()}`;
    const silent = await stub({ 'x.test': { silent: true } });
    const failing = await stub({ 'x.test': { rcode: 'SERVFAIL' } });
    const good = await stub({ 'x.test': { a: ['192.0.2.1'] } });
    const servers = [dead, silent.address, failing.address, good.address];
    expect(await resolver({ servers }).resolve(host('x.test'))).toEqual(answers('192.0.2.1'));
  });

  it('believes the first server that knows the name does not exist', async () => {
    const first = await stub({ 'x.test': { rcode: 'NXDOMAIN' } });
    const second = await stub({ 'x.test': { a: ['192.0.2.1'] } });
    const names = resolver({ servers: [first.address, second.address] });
    expect(await names.resolve(host('x.test'))).toEqual(refusal('dns_failed'));
    expect(second.queries).toEqual([]);
  });

  it('asks a silent server again', async () => {
    const dns = await stub({ 'x.test': [{ silent: true }, { a: ['192.0.2.1'] }] });
    expect(await resolver({ servers: [dns.address] }).resolve(host('x.test'))).toEqual(answers('192.0.2.1'));
  });

  it('keeps to its total limit', async () => {
    const dns = await stub({ 'x.test': { silent: true } });
    const from = performance.now();
    const names = resolver({
      servers: [dns.address, dns.address],
      limits: { tryMs: 20_000, totalMs: 150 },
    });
    await names.resolve(host('x.test'));
    expect(performance.now() - from).toBeLessThan(15_000);
  });

  it('does without AAAA when only those stay unanswered, and soon asks again', async () => {
    const dns = await stub({
      'half.test': { a: ['192.0.2.1'], aaaa: ['2001:db8::1'], silent: 'AAAA', ttl: 300 },
    });
    const names = resolver({ servers: [dns.address] });
    expect(await names.resolve(host('half.test'))).toEqual(answers('192.0.2.1'));
    names.clock.tick(5_001);
    dns.set('half.test', { a: ['192.0.2.1'], aaaa: ['2001:db8::1'] });
    expect(await names.resolve(host('half.test'))).toEqual(answers('2001:db8::1', '192.0.2.1'));
  });

  it('is shared by everyone who asks for the name at the same time', async () => {
    const dns = await stub({ 'x.test': { a: ['192.0.2.1'], delayMs: 30 } });
    const names = resolver({ servers: [dns.address] });
    const all = await Promise.all(Array.from({ length: 20 }, () => names.resolve(host('x.test'))));
    expect(new Set(all.map((one) => JSON.stringify(one))).size).toBe(1);
    expect(dns.queries).toHaveLength(2);
  });

  it('lets one asker leave while another waits on', async () => {
    const dns = await stub({ 'x.test': { a: ['192.0.2.1'], delayMs: 30 } });
    const names = resolver({ servers: [dns.address] });
    const gone = new AbortController();
    const left = names.resolve(host('x.test'), gone.signal);
    const stays = names.resolve(host('x.test'));
    gone.abort();
    expect(await left).toEqual(refusal('dns_failed'));
    expect(await stays).toEqual(answers('192.0.2.1'));
  });

  it('of one group is refused when it has its share, and goes on for another', async () => {
    const dns = await stub({
      'a.test': { silent: true },
      'b.test': { silent: true },
      'c.test': { a: ['192.0.2.1'] },
    });
    const places = new FairShare(4);
    places.divide(2);
    for (let n = 0; n < 2; n += 1) places.take('flood');
    const names = resolver({ servers: [dns.address], places, limits: { tryMs: 20_000, totalMs: 20_000 } });
    const waiting = names.resolve(host('a.test'), undefined, 'flood');
    expect(await names.resolve(host('b.test'), undefined, 'flood')).toEqual(refusal('overloaded'));
    expect(await names.resolve(host('c.test'), undefined, 'other')).toEqual(answers('192.0.2.1'));
    expect([places.takenBy('flood'), places.takenBy('other')]).toEqual([3, 0]);
    names.close();
    await waiting;
    expect(places.takenBy('flood')).toBe(2);
  });

  it('is refused when too many names are being asked for', async () => {
    const zone = Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`n${i}.test`, { silent: true }]));
    const dns = await stub(zone);
    const names = resolver({ servers: [dns.address], limits: { tryMs: 20_000, totalMs: 20_000 } });
    const waiting = Object.keys(zone).map((name) => names.resolve(host(name)));
    expect(await names.resolve(host('one-more.test'))).toEqual(refusal('overloaded'));
    names.close();
    for (const one of await Promise.all(waiting)) expect(one).toEqual(refusal('dns_failed'));
  });
});

describe('the cache', () => {
  it('answers until the TTL is over, at most five minutes and at least a second', async () => {
    const dns = await stub({
      'short.test': [{ a: ['192.0.2.1'], ttl: 0 }, { a: ['192.0.2.2'] }],
      'long.test': [{ a: ['192.0.2.1'], ttl: 86_400 }, { a: ['192.0.2.2'] }],
    });
    const names = resolver({ servers: [dns.address] });
    for (const [name, ms] of [
      ['short.test', 1_000],
      ['long.test', 300_000],
    ] as const) {
      expect(await names.resolve(host(name))).toEqual(answers('192.0.2.1'));
      names.clock.tick(ms - 1);
      expect(names.peek(host(name))).toEqual(['192.0.2.1']);
      expect(await names.resolve(host(name))).toEqual(answers('192.0.2.1'));
      names.clock.tick(1);
      expect(names.peek(host(name))).toBeNull();
      expect(await names.resolve(host(name))).toEqual(answers('192.0.2.2'));
    }
    expect(names.outcomes).toEqual(['ok', 'cached', 'ok', 'ok', 'cached', 'ok']);
  });

  it.each([
    ['a missing name', { rcode: 'NXDOMAIN' }, 5_000],
    ['a failing server', { rcode: 'SERVFAIL' }, 1_000],
  ] as const)('remembers %s for a while', async (_what, script, ms) => {
    const dns = await stub({ 'x.test': script });
    const names = resolver({ servers: [dns.address] });
    await names.resolve(host('x.test'));
    dns.set('x.test', { a: ['192.0.2.1'] });
    names.clock.tick(ms - 1);
    expect(await names.resolve(host('x.test'))).toEqual(refusal('dns_failed'));
    expect(names.peek(host('x.test'))).toBeNull();
    names.clock.tick(1);
    expect(await names.resolve(host('x.test'))).toEqual(answers('192.0.2.1'));
  });

  it('does not grow over its cap', async () => {
    const dns = await stub({ 'x.test': [{ a: ['192.0.2.1'] }, { a: ['192.0.2.2'] }] });
    const names = resolver({ servers: [dns.address] });
    await names.resolve(host('x.test'));
    for (let i = 0; i < 4_096; i += 64) {
      await Promise.all(Array.from({ length: 64 }, (_, j) => names.resolve(host(`n${i + j}.test`))));
    }
    expect(names.peek(host('x.test'))).toBeNull();
  });
});

describe('without a query', () => {
  it('fixed answers and literals are known, whatever the case and the trailing dot of the setting', async () => {
    const dns = await stub({});
    const names = resolver({
      servers: [dns.address],
      hosts: { 'API.test.': ['127.0.0.1', '::1'], '__proto__.test': ['127.0.0.2'], 'empty.test': [] },
    });
    expect(await names.resolve(host('api.test'))).toEqual(answers('127.0.0.1', '::1'));
    expect(names.peek(host('api.test'))).toEqual(['127.0.0.1', '::1']);
    expect(names.peek(host('::1'))).toEqual(['::1']);
    expect(await names.resolve(host('192.0.2.1'))).toEqual(answers('192.0.2.1'));
    expect(await names.resolve(host('empty.test'))).toEqual(refusal('dns_failed'));
    expect(dns.queries).toEqual([]);
  });

  it('a fixed answer that is no address stops the start', () => {
    expect(() => resolver({ hosts: { 'api.test': ['0x7f.1'] } })).toThrow(
      expect.objectContaining({ code: 'ERR_DNS_HOSTS' }),
    );
  });

  it('names of the hosts file stay unknown', async () => {
    const dns = await stub({});
    expect(await resolver({ servers: [dns.address] }).resolve(host('localhost'))).toEqual(
      refusal('dns_failed'),
    );
    expect(dns.queries.map((one) => one.name)).toEqual(['localhost', 'localhost']);
  });

  it('nothing resolves when the system names no server, or after close', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-resolv-'));
    open.push(() => rmSync(folder, { recursive: true }));
    const resolvConf = join(folder, 'resolv.conf');
    writeFileSync(resolvConf, 'search corp.example\n');
    const names = resolver({ servers: [], resolvConf });
    expect(await names.resolve(host('x.test'))).toEqual(refusal('dns_failed'));
    names.close();
    expect(await names.resolve(host('x.test'))).toEqual(refusal('dns_failed'));
  });
});
