import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { loadOrCreateAuthority } from '../../../src/intercept/authority.ts';
import { createLeafMint } from '../../../src/intercept/leaf.ts';
import { at, DAY, folder, HOUR, heldClock, longName } from './material.ts';

const start = Math.floor(Date.now() / 1000) * 1000;

function setUp(opts: { max?: number; now?: number } = {}) {
  const now = opts.now ?? start;
  const { authority } = loadOrCreateAuthority({ dir: folder(), now });
  const clock = heldClock(now);
  let minted = 0;
  const mint = createLeafMint({
    authority,
    clock,
    ...(opts.max === undefined ? {} : { max: opts.max }),
    onMint: () => {
      minted++;
    },
  });
  return { authority, clock, mint, minted: () => minted };
}

const certOf = (pem: string) => new X509Certificate(pem);

describe('a leaf certificate', () => {
  it('is signed by the CA, for its host alone, valid from an hour ago for seven days', () => {
    const { authority, mint } = setUp();
    const leaf = certOf(mint.pemFor(at('api.example.com')));
    expect(leaf.checkIssued(authority.cert)).toBe(true);
    expect(leaf.verify(authority.cert.publicKey)).toBe(true);
    expect(leaf.checkHost('api.example.com')).toBe('api.example.com');
    expect(leaf.checkHost('example.com')).toBeUndefined();
    expect(leaf.checkHost('x.api.example.com')).toBeUndefined();
    expect(leaf.ca).toBe(false);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(leaf.validFromDate.getTime()).toBe(start - HOUR);
    expect(leaf.validToDate.getTime()).toBe(start + 7 * DAY);
  });

  it('never starts before its CA nor ends after it', () => {
    const { authority, clock, mint } = setUp();
    const end = authority.cert.validToDate.getTime();
    clock.set(authority.cert.validFromDate.getTime() + 60_000);
    expect(certOf(mint.pemFor(at('early.test'))).validFromDate).toEqual(authority.cert.validFromDate);
    clock.set(end - HOUR);
    expect(certOf(mint.pemFor(at('late.test'))).validToDate).toEqual(authority.cert.validToDate);
  });

  it('has a positive random serial of sixteen bytes', () => {
    const { mint } = setUp();
    const serials = Array.from({ length: 50 }, (_, i) => certOf(mint.pemFor(at(`h${i}.test`))).serialNumber);
    expect(new Set(serials).size).toBe(50);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  it.each<[string, string, boolean]>([
    ['64 octets: in the CN too', longName(64), true],
    ['65 octets: in the alternative name only', longName(65), false],
    ['labels of 63 octets', `${'a'.repeat(63)}.${'b'.repeat(63)}.test`, false],
    ['253 octets', longName(253), false],
    ['one label', 'a', true],
    ['an underscore', '_x.example.test', true],
    ['an A-label', 'xn--bcher-kva.example', true],
  ])('holds a name of %s', (_what, name, inSubject) => {
    const leaf = certOf(setUp().mint.pemFor(at(name)));
    expect(leaf.subjectAltName).toBe(`DNS:${name}`);
    expect(leaf.subject).toBe(inSubject ? `CN=${name}` : undefined);
  });

  it.each<[string, 'ipv4' | 'ipv6', string]>([
    ['203.0.113.7', 'ipv4', 'IP Address:203.0.113.7'],
    ['2001:db8::1', 'ipv6', 'IP Address:2001:DB8:0:0:0:0:0:1'],
    ['::', 'ipv6', 'IP Address:0:0:0:0:0:0:0:0'],
    ['::1', 'ipv6', 'IP Address:0:0:0:0:0:0:0:1'],
    ['1::', 'ipv6', 'IP Address:1:0:0:0:0:0:0:0'],
    ['1:2:3:4:5:6:7:8', 'ipv6', 'IP Address:1:2:3:4:5:6:7:8'],
    ['::ffff:203.0.113.7', 'ipv6', 'IP Address:0:0:0:0:0:FFFF:CB00:7107'],
  ])('names the address %s as an address, not as a name', (host, kind, shown) => {
    const leaf = certOf(setUp().mint.pemFor(at(host, kind)));
    expect(leaf.subjectAltName).toBe(shown);
    expect(leaf.checkIP(host)).toBe(host);
  });

  it('is not made for what is no name and no address', () => {
    const { mint, minted } = setUp();
    expect(() => mint.pemFor(at(longName(254)))).toThrow(RangeError);
    expect(() => mint.pemFor(at('203.0.113.7', 'name'))).toThrow(RangeError);
    expect(() => mint.pemFor(at('fe80::1%eth0', 'ipv4'))).toThrow(RangeError);
    expect(() => mint.pemFor(at('example.com', 'ipv6'))).toThrow(RangeError);
    expect(minted()).toBe(0);
  });
});

describe('the cache of leaves', () => {
  it('makes one certificate and one context per host, whatever the port', () => {
    const { mint, minted } = setUp();
    const first = mint.contextFor(at('a.test'));
    expect(mint.contextFor(at('a.test', 'name', 8443))).toBe(first);
    mint.pemFor(at('a.test'));
    expect(minted()).toBe(1);
    expect(mint.contextFor(at('b.test'))).not.toBe(first);
    expect(minted()).toBe(2);
  });

  it('holds no more hosts than its cap, and drops the one used longest ago', () => {
    const { mint, minted } = setUp({ max: 2 });
    mint.pemFor(at('a.test'));
    mint.pemFor(at('b.test'));
    mint.pemFor(at('a.test'));
    mint.pemFor(at('c.test'));
    expect(minted()).toBe(3);
    mint.pemFor(at('a.test'));
    expect(minted()).toBe(3);
    mint.pemFor(at('b.test'));
    expect(minted()).toBe(4);
  });

  it('makes a leaf anew a day before it ends', () => {
    const { clock, mint } = setUp();
    const first = mint.pemFor(at('a.test'));
    const context = mint.contextFor(at('a.test'));
    clock.set(start + 6 * DAY - 1);
    expect(mint.pemFor(at('a.test'))).toBe(first);
    clock.set(start + 6 * DAY);
    expect(certOf(mint.pemFor(at('a.test'))).validToDate.getTime()).toBe(start + 13 * DAY);
    expect(mint.contextFor(at('a.test'))).not.toBe(context);
  });

  it('makes a leaf anew when the clock was set back to before its start', () => {
    const { clock, authority, mint, minted } = setUp({ now: start });
    clock.set(start + 3 * DAY);
    mint.pemFor(at('a.test'));
    clock.set(start + DAY);
    expect(certOf(mint.pemFor(at('a.test'))).validFromDate.getTime()).toBe(start + DAY - HOUR);
    expect(minted()).toBe(2);
    expect(authority.cert.validFromDate.getTime()).toBeLessThan(start);
  });

  it('renews at half time, not without end, in the last day of the CA', () => {
    const { authority, clock, mint, minted } = setUp();
    const end = authority.cert.validToDate.getTime();
    clock.set(end - 4 * HOUR);
    mint.pemFor(at('a.test'));
    clock.set(end - 3 * HOUR);
    mint.pemFor(at('a.test'));
    expect(minted()).toBe(1);
    clock.set(end - 2 * HOUR);
    mint.pemFor(at('a.test'));
    expect(minted()).toBe(2);
  });

  it('throws once the CA has expired while the process ran', () => {
    const { authority, clock, mint } = setUp();
    clock.set(authority.cert.validToDate.getTime());
    expect(() => mint.contextFor(at('a.test'))).toThrow(expect.objectContaining({ code: 'expired' }));
  });
});

describe('the cost of a leaf', () => {
  it('stays well under a millisecond', () => {
    const { mint } = setUp();
    for (let i = 0; i < 50; i++) mint.pemFor(at(`warm${i}.test`));
    const rounds = Array.from({ length: 5 }, (_, round) => {
      const before = process.cpuUsage();
      for (let i = 0; i < 40; i++) mint.pemFor(at(`r${round}h${i}.test`));
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 40_000;
    });
    expect(Math.min(...rounds)).toBeLessThan(1);
  });
});
