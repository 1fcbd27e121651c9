import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { authorityText } from '../../../src/flow/target.ts';
import { isAuthority, parseAddress, parseAuthority } from '../../../src/wire/authority.ts';

type HostRow = { id: string; authority: string; expect: 'allow' | 'deny'; group: string; tolerate?: string };
const rows = JSON.parse(readFileSync('test/cases/hosts.json', 'utf8')) as HostRow[];

const text = (input: string, port?: number): string => {
  const at = parseAuthority(input, port);
  return isAuthority(at) ? `${at.kind} ${authorityText(at)}` : at.reason;
};

describe('parseAuthority', () => {
  it.each([
    ['a name keeps its labels', 'api.example.com:443', 'name api.example.com:443'],
    ['upper case is folded', 'API.Example.COM:8443', 'name api.example.com:8443'],
    ['one trailing dot is dropped', 'api.example.com.:443', 'name api.example.com:443'],
    ['underscores are labels', '_acme.foo_bar.test:1', 'name _acme.foo_bar.test:1'],
    [
      'two hyphens in places 3 and 4 are fine without xn',
      'r3---sn.example.net:443',
      'name r3---sn.example.net:443',
    ],
    ['a one-label name is a name', 'localhost:80', 'name localhost:80'],
    ['a label may look like a number', '1.2.3.4.example:65535', 'name 1.2.3.4.example:65535'],
    ['an A-label stays', 'XN--BCHER-KVA.example:443', 'name xn--bcher-kva.example:443'],
    ['an A-label in the TLD stays', 'xn--e1afmkfd.xn--p1ai:443', 'name xn--e1afmkfd.xn--p1ai:443'],
    ['sharp s has an A-label of its own', 'xn--fa-hia.example:443', 'name xn--fa-hia.example:443'],
    ['an emoji label stays', 'xn--i-7iq.ws:443', 'name xn--i-7iq.ws:443'],
    ['a label beyond the basic plane', 'xn--ls8h.la:443', 'name xn--ls8h.la:443'],
    [
      'a long Arabic label (RFC 3492 section 7.1)',
      'xn--egbpdaj6bu4bxfgehfvwxn.test:1',
      'name xn--egbpdaj6bu4bxfgehfvwxn.test:1',
    ],
    [
      'a long Chinese label (RFC 3492 section 7.1)',
      'xn--ihqwcrb4cv8a8dqg056pqjye.test:1',
      'name xn--ihqwcrb4cv8a8dqg056pqjye.test:1',
    ],
    ['IPv4', '192.0.2.255:443', 'ipv4 192.0.2.255:443'],
    ['IPv6 is canonical', '[2001:DB8:0:0:0:0:0:1]:443', 'ipv6 [2001:db8::1]:443'],
  ])('%s', (_title, input, expected) => {
    expect(text(input)).toBe(expected);
  });

  it.each([
    ['no port and no default', 'api.example.com'],
    ['empty port', 'api.example.com:'],
    ['port zero', 'api.example.com:0'],
    ['port with a leading zero', 'api.example.com:0443'],
    ['port above 65535', 'api.example.com:65536'],
    ['port with a sign', 'api.example.com:+443'],
    ['port with white space', 'api.example.com:443 '],
    ['two ports', 'api.example.com:443:443'],
    ['two trailing dots', 'api.example.com..:443'],
    ['only a dot', '.:443'],
    ['address with a trailing dot', '8.8.8.8.:443'],
    ['five octets', '1.2.3.4.5:443'],
    ['octal octet', '010.0.0.1:443'],
    ['hexadecimal last label', 'foo.0x7f:443'],
    ['bare 0x', '0x:443'],
    ['number as the last label', 'foo.1:443'],
    ['label that ends in a hyphen', 'a-.example.com:443'],
    ['label of 64 octets', `${'a'.repeat(64)}.com:443`],
    ['name of 254 octets', `${'a.'.repeat(126)}ab:443`],
    ['empty Punycode', 'xn--.example.com:443'],
    ['Punycode of plain ASCII', 'xn--example-.example.com:443'],
    ['Punycode cut short', 'xn--b.example.com:443'],
    ['Punycode that overflows', 'xn--99999999.example.com:443'],
    ['Punycode with a delimiter behind nothing', 'xn---2opb.example.com:443'],
    ['Punycode of a surrogate', 'xn--a-qc4g.example.com:443'],
    ['Punycode with an underscore as a digit', 'xn--bcher-k_a.example.com:443'],
    ['Punycode of an upper-case letter (\u00dc)', 'xn--bcher-2pa.example.com:443'],
    ['Punycode of a fullwidth letter', 'xn--pi-bz3n.example.com:443'],
    ['percent', 'api%2eexample.com:443'],
    ['userinfo', 'a@b.test:443'],
    ['zone id', '[fe80::1%25eth0]:443'],
    ['IPv4 in brackets', '[127.0.0.1]:443'],
    ['nothing in brackets', '[]:443'],
    ['brackets without a port where one is needed', '[::1]'],
    ['text behind the brackets', '[::1]x:443'],
    ['unclosed bracket', '[::1:443'],
    ['IPvFuture', '[v1.a]:443'],
    ['far too long', `${'a'.repeat(5000)}:443`],
    ['KELVIN SIGN', '\u212aey.example.net:443'],
    ['dotted capital I', '\u0130.example.net:443'],
  ])('refuses: %s', (_title, input) => {
    expect(text(input)).toBe('bad_authority');
    expect(text(Buffer.from(input, 'utf8').toString('latin1'))).toBe('bad_authority');
  });

  it('takes the default port only where the text has none', () => {
    expect(text('up.test', 80)).toBe('name up.test:80');
    expect(text('up.test:81', 80)).toBe('name up.test:81');
    expect(text('[::1]', 443)).toBe('ipv6 [::1]:443');
    expect(text('up.test:', 80)).toBe('bad_authority');
  });

  it('accepts a name of 253 octets, with the trailing dot on top', () => {
    const name = `${'a.'.repeat(126)}b`;
    expect(name).toHaveLength(253);
    expect(text(`${name}:1`)).toBe(`name ${name}:1`);
    expect(text(`${name}.:1`)).toBe(`name ${name}:1`);
  });
});

describe('parseAddress', () => {
  it.each([
    ['0.0.0.0', '0.0.0.0'],
    ['255.249.199.99', '255.249.199.99'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['2001:DB8::00AB', '2001:db8::ab'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::ffff:127.0.0.1', '::ffff:7f00:1'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
    ['64:ff9b::169.254.169.254', '64:ff9b::a9fe:a9fe'],
  ])('%s is %s', (input, expected) => {
    expect(parseAddress(input)?.host).toBe(expected);
  });

  it.each([
    '',
    '1.2.3',
    '1.2.3.4.',
    '01.2.3.4',
    '1.2.3.256',
    '1.2.3.4 ',
    ':',
    ':::',
    '1::2::3',
    ':1::2',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    'g::',
    '::1%lo',
    '[::1]',
    '::1.2.3',
    '1.2.3.4::',
    '::ffff:1.2.3.04',
    '::1.2.3.4:5',
    'localhost',
  ])('%j is no address', (input) => {
    expect(parseAddress(input)).toBeNull();
  });
});

describe('hosts.json at the parser', () => {
  // The other groups are about policy and DNS; their text is well formed unless the parser's own tables say so.
  const malformed = new Set(['delimiter', 'control', 'label', 'percent', 'bracket']);
  const judged = rows.filter(
    (row) => row.expect === 'allow' || malformed.has(row.group) || /[^\x20-\x7e]/.test(row.authority),
  );

  it('has rows to judge', () => {
    expect(judged.length).toBeGreaterThan(80);
  });

  it.each(judged.map((row) => [row.id, row] as const))('%s', (_id, row) => {
    for (const input of [row.authority, Buffer.from(row.authority, 'utf8').toString('latin1')]) {
      const parsed = isAuthority(parseAuthority(input)) ? 'allow' : 'deny';
      expect([row.expect, row.tolerate]).toContain(parsed);
    }
  });

  it('refuses every number that is not dotted decimal and every malformed port', () => {
    const odd = rows.filter((row) => row.group === 'ip-spelling' || row.group === 'port');
    const passed = odd.filter((row) => isAuthority(parseAuthority(row.authority)));
    for (const row of passed) {
      expect(row.authority).toMatch(
        /^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\]|api\.example\.com):[1-9]\d*$/,
      );
    }
    expect(passed.length).toBeLessThan(odd.length - 15);
  });
});
