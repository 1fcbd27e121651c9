import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classifyAddress } from '../../../src/policy/address-class.ts';
import { judgeAddress, type OwnAddresses } from '../../../src/policy/address-guard.ts';
import { canonicalAddress, inRanges, parseCidr } from '../../../src/policy/address-text.ts';

const NOBODY: OwnAddresses = { addresses: [], local: [], listeners: [] };
const judge = (address: string, allowed: string[] = [], own = NOBODY, port = 443) =>
  judgeAddress({ address, port, allowed, own });

const METADATA = [
  '169.254.169.254',
  '169.254.170.2',
  '169.254.42.42',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
];

/** Every way in which IPv6 can carry an IPv4 address. */
function embeddings(v4: string): readonly string[] {
  const [a = 0, b = 0, c = 0, d = 0] = v4.split('.').map(Number);
  const hex = (high: number, low: number) => ((high << 8) | low).toString(16);
  const [hi, lo] = [hex(a, b), hex(c, d)];
  const inverted = `${hex(a ^ 255, b ^ 255)}:${hex(c ^ 255, d ^ 255)}`;
  return [
    `::ffff:${hi}:${lo}`,
    `::${hi}:${lo}`,
    `::ffff:0:${hi}:${lo}`,
    `64:ff9b::${hi}:${lo}`,
    `64:ff9b:1:${hex(a, b)}:${hex(0, c)}:${hex(d, 0)}::`,
    `2002:${hi}:${lo}::1`,
    `2001:0:${hi}:${lo}::`,
    `2001:0:4136:e378:8000:63bf:${inverted}`,
    `fe80::5efe:${hi}:${lo}`,
    `2607:f8b0:4004:800:200:5efe:${hi}:${lo}`,
  ];
}

describe('judgeAddress', () => {
  it.each(METADATA)('never opens the metadata service %s, whatever a rule says', (address) => {
    expect(judge(address)).toBe('blocked');
    expect(judge(address, ['0.0.0.0/0', '::/0'])).toBe('blocked');
    expect(classifyAddress(address)).toMatchObject({ public: false, metadata: true });
  });

  it.each(METADATA.filter((text) => text.includes('.')))('knows %s in every IPv6 embedding', (address) => {
    for (const text of embeddings(address)) {
      expect(classifyAddress(text), text).toMatchObject({ public: false, metadata: true });
      expect(judge(text, ['::/0', '0.0.0.0/0']), text).toBe('blocked');
    }
  });

  it('opens a private range only by the addresses of the rule', () => {
    expect(judge('10.20.3.4')).toBe('blocked');
    expect(judge('10.20.3.4', ['10.20.0.0/16'])).toBe('ok');
    expect(judge('10.21.3.4', ['10.20.0.0/16'])).toBe('blocked');
    expect(judge('fd12::1', ['fd00::/8'])).toBe('ok');
    expect(judge('127.0.0.1', ['127.0.0.0/8'])).toBe('ok');
  });

  it('compares ranges with the address as dialled: mapped IPv6 is its IPv4, NAT64 is not', () => {
    expect(judge('::ffff:10.20.3.4', ['10.20.0.0/16'])).toBe('ok');
    expect(judge('64:ff9b::a14:304', ['10.20.0.0/16'])).toBe('blocked');
    expect(judge('10.20.3.4', ['::ffff:0:0/96'])).toBe('blocked');
  });

  it('never connects to an own listener, on any address that reaches it', () => {
    const own: OwnAddresses = {
      addresses: ['172.25.0.2', 'fd12::2'],
      local: ['127.0.0.1', '::1', '172.25.0.2', 'fd12::2', '8.8.4.4'],
      listeners: [{ address: '0.0.0.0', port: 8080 }],
    };
    const open = ['0.0.0.0/0', '::/0'];
    for (const address of [
      '8.8.4.4',
      '127.0.0.1',
      '127.9.9.9',
      '172.25.0.2',
      '::1',
      'fd12::2',
      '::ffff:127.0.0.1',
      '0.0.0.0',
      '::',
    ]) {
      expect(judge(address, open, own, 8080), address).toBe('blocked');
    }
    expect(judge('127.0.0.1', open, own, 8081)).toBe('ok');
    const one: OwnAddresses = {
      addresses: [],
      local: ['127.0.0.1'],
      listeners: [{ address: '127.0.0.1', port: 8080 }],
    };
    expect(judge('127.0.0.1', open, one, 8080)).toBe('blocked');
    expect(judge('::ffff:127.0.0.1', open, one, 8080)).toBe('blocked');
    expect(judge('127.0.0.2', open, one, 8080)).toBe('ok');
  });

  it('connects to an own public address only when the rule says so', () => {
    const own: OwnAddresses = { addresses: ['8.8.4.4'], local: ['8.8.4.4'], listeners: [] };
    expect(judge('8.8.4.4', [], own)).toBe('blocked');
    expect(judge('64:ff9b::808:404', [], own)).toBe('blocked');
    expect(judge('8.8.4.4', ['8.8.4.4/32'], own)).toBe('ok');
    expect(judge('8.8.8.8', [], own)).toBe('ok');
  });

  it('blocks what it cannot read', () => {
    for (const text of [
      '',
      'localhost',
      '1.2.3',
      '01.2.3.4',
      '::1%lo',
      '[::1]',
      '8.8.8.8/32',
      '8.8.8.8\0',
      '0x8080808',
    ]) {
      expect(judge(text, ['0.0.0.0/0', '::/0']), text).toBe('blocked');
    }
  });
});

describe('classifyAddress', () => {
  it('calls an ISATAP address public only when the IPv4 address in it is', () => {
    expect(classifyAddress('2607:f8b0:4004:800:0:5efe:a00:1')).toMatchObject({
      public: false,
      kind: 'embedded',
    });
    expect(classifyAddress('2607:f8b0:4004:800:200:5efe:808:808').public).toBe(true);
  });

  it('never throws and never calls public what is no address', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        if (isIP(text) === 0) expect(classifyAddress(text).public).toBe(false);
      }),
    );
  });

  it('reads every IPv6 address that Node reads, but for zones', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        expect(classifyAddress(text).kind).not.toBe('unparsable');
        expect(isIP(canonicalAddress(text) ?? '')).not.toBe(0);
      }),
    );
  });

  it('reads an IPv6 address with a decimal tail as the one with the same bytes in hex', () => {
    const heads = fc.constantFrom('::', '::ffff:', '::ffff:0:', '64:ff9b::', '1:2:3:4:5:6:', '2002::');
    fc.assert(
      fc.property(heads, fc.ipV4(), (head, tail) => {
        const [a = 0, b = 0, c = 0, d = 0] = tail.split('.').map(Number);
        const hex = `${head}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
        expect(classifyAddress(head + tail)).toEqual(classifyAddress(hex));
        expect(canonicalAddress(head + tail)).toBe(canonicalAddress(hex));
      }),
    );
    // Nothing in ::/96 is public, whatever stands in its last four bytes (RFC 4291 section 2.5.5.1).
    expect(classifyAddress('::8.8.8.8').public).toBe(false);
  });

  it.each(['::ffff:8.8.8.08', '::ffff:8.8.8.8.8', '::ffff:8.8.8', '8.8.8.8::', '::8.8.8.8:1'])(
    '%s is no address',
    (text) => {
      expect(classifyAddress(text).kind).toBe('unparsable');
    },
  );

  it('calls an IPv4-mapped address exactly what it calls the IPv4 address', () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(classifyAddress(`::ffff:${text}`).public).toBe(classifyAddress(text).public);
        expect(classifyAddress(`64:ff9b::${text}`).public).toBe(classifyAddress(text).public);
      }),
    );
  });
});

describe('parseCidr', () => {
  it.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['10.1.2.3', '10.1.2.3/32'],
    ['fd00::/8', 'fd00::/8'],
    ['FD00::/8', 'fd00::/8'],
    ['::1', '::1/128'],
    ['0.0.0.0/0', '0.0.0.0/0'],
  ])('reads %s', (text, cidr) => {
    expect(parseCidr(text)).toMatchObject({ cidr });
  });

  it.each([
    ['10.1.2.3/8', 'write 10.0.0.0/8'],
    ['fd00::1/64', 'write fd00::/64'],
    ['10.0.0.0/33', 'write a prefix length from 0 to 32 after the slash'],
    ['10.0.0.0/08', 'write a prefix length from 0 to 32 after the slash'],
    ['10.0.0/8', 'write a range such as 10.0.0.0/8 or fd00::/8'],
    ['10.0.0.0/255.0.0.0', 'write a prefix length from 0 to 32 after the slash'],
  ])('refuses %s and says %s', (text, fix) => {
    expect(parseCidr(text)).toEqual({ fix });
  });

  it('holds what it covers', () => {
    expect(inRanges('::ffff:172.25.1.2', ['172.25.0.0/16'])).toBe(true);
    expect(inRanges('172.26.1.2', ['172.25.0.0/16'])).toBe(false);
    expect(inRanges('nonsense', ['0.0.0.0/0'])).toBe(false);
  });
});
