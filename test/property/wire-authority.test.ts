import { isIP, isIPv4, isIPv6, SocketAddress } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { authorityText } from '../../src/flow/target.ts';
import { isAuthority, parseAddress, parseAuthority } from '../../src/wire/authority.ts';

const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
const nearHost = fc.string({ unit: fc.constantFrom(...'aZ09.-_:[]%@\\/x*n,\0 \u00e9'.split('')) });
const label = fc.stringMatching(/^[a-z0-9_]([a-z0-9_-]{0,8}[a-z0-9_])?$/);
const name = fc
  .array(label, { minLength: 0, maxLength: 4 })
  .map((labels) => [...labels, 'test'].join('.'))
  .filter((text) => !text.includes('xn--'));
const port = fc.integer({ min: 1, max: 65_535 });

describe('parseAuthority over any text', () => {
  it('never throws, and what it passes is canonical and parses to itself', () => {
    fc.assert(
      fc.property(fc.oneof(latin1, nearHost, fc.string()), port, (text, defaultPort) => {
        const at = parseAuthority(text, defaultPort);
        if (!isAuthority(at)) return;
        expect(parseAuthority(authorityText(at))).toEqual(at);
        expect(at.host).toMatch(/^[a-z0-9_.:-]+$/);
        expect(isIP(at.host)).toBe(at.kind === 'name' ? 0 : at.kind === 'ipv4' ? 4 : 6);
      }),
      { numRuns: 3_000 },
    );
  });

  it('gives one verdict for every case of letters and the trailing dot', () => {
    fc.assert(
      fc.property(name, port, fc.boolean(), (host, number, dot) => {
        const spelled = `${host.toUpperCase()}${dot ? '.' : ''}:${number}`;
        expect(parseAuthority(spelled)).toEqual({ host, kind: 'name', port: number });
      }),
    );
  });

  it('takes no name that a C library would read as an address', () => {
    const numeric = fc.array(fc.constantFrom('1', '0x1', '0177', '255', '0x', 'a', '4294967295'), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(numeric, (parts) => {
        const text = parts.join('.');
        const at = parseAuthority(`${text}:80`);
        if (isAuthority(at)) expect(at.kind === 'ipv4' || parts.at(-1) === 'a', text).toBe(true);
      }),
    );
  });
});

describe('parseAddress against the runtime', () => {
  it('agrees on IPv6, and prints the canonical text', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        expect(isIPv6(text)).toBe(true);
        const address = parseAddress(text);
        expect(address?.kind).toBe('ipv6');
        const url = new URL(`http://[${text}]/`);
        expect(`[${address?.host}]`).toBe(url.hostname);
      }),
      { numRuns: 1_000 },
    );
  });

  it('agrees on IPv4', () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(parseAddress(text)).toEqual({ host: text, kind: 'ipv4' });
        expect(new SocketAddress({ address: text }).address).toBe(text);
      }),
    );
  });

  it('takes nothing that the runtime would not', () => {
    const nearAddress = fc.string({ unit: fc.constantFrom(...'0123456789abf.:%'.split('')), maxLength: 20 });
    fc.assert(
      fc.property(nearAddress, (text) => {
        const address = parseAddress(text);
        if (address === null) return;
        expect(address.kind === 'ipv4' ? isIPv4(text) : isIPv6(text)).toBe(true);
      }),
      { numRuns: 5_000 },
    );
  });
});
