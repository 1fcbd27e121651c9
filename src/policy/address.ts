/**
 * The address guard: which IP addresses may be dialled. `dial/` asks it for every literal and every DNS
 * answer before connecting to exactly that address (invariant I2). An allowlist: only global unicast, after
 * unwrapping embedded IPv4, is public; the IANA special-purpose registries, cloud metadata services and the
 * proxy's own addresses are not. Unparsable text is not public (fail closed).
 */
import ipaddr from 'ipaddr.js';
import type { Cidr } from '../flow/verdict.ts';

export type AddressClass = {
  readonly public: boolean;
  /** a cloud metadata or platform service: no rule can open it */
  readonly metadata: boolean;
  /** one word for logs and tests, never for the sandbox */
  readonly kind: string;
};

/** The proxy's own interfaces and listeners: a loop into itself is never dialled. */
export type OwnAddresses = {
  /** of non-loopback interfaces, and those that listeners are bound to */
  readonly addresses: readonly string[];
  /** of every interface, service addresses on the loopback one included: where a wildcard listener answers */
  readonly local: readonly string[];
  /** address may be 0.0.0.0 or :: */
  readonly listeners: readonly { readonly address: string; readonly port: number }[];
};

export type AddressAsk = {
  readonly address: string;
  readonly port: number;
  /** CIDRs of the matching rule */
  readonly allowed: readonly Cidr[];
  readonly own: OwnAddresses;
};

type Ip = ipaddr.IPv4 | ipaddr.IPv6;
type Range = [Ip, number];

const UNPARSABLE: AddressClass = { public: false, metadata: false, kind: 'unparsable' };
const METADATA: AddressClass = { public: false, metadata: true, kind: 'metadata' };

// The whole of 169.254.169.0/24 holds platform services on AWS (time, DNS, KMS, instance data).
const METADATA_RANGES: readonly Range[] = [
  '169.254.169.0/24', // AWS, Azure, GCP, OpenStack, DigitalOcean, Oracle
  '169.254.170.2/32', // AWS ECS task credentials
  '169.254.170.23/32', // AWS EKS Pod Identity
  '169.254.42.42/32', // Scaleway
  '169.254.0.23/32', // Tencent Cloud
  '100.100.100.200/32', // Alibaba Cloud
  '168.63.129.16/32', // Azure WireServer: looks public, stands in no registry
  '192.0.0.192/32', // Oracle Cloud
  'fd00:ec2::/32', // AWS: instance data, Pod Identity, DNS, time
  'fd20:ce::254/128', // GCP
  'fd00:42::42/128', // Scaleway
  'fe80::a9fe:a9fe/128', // OpenStack
].map((text) => ipaddr.parseCIDR(text));

const GLOBAL_UNICAST: Range = ipaddr.parseCIDR('2000::/3');
const OCTET = '(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])';
const STRICT_IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
const IPV6_GROUPS = /^[0-9a-f:]*:[0-9a-f:]*$/i;
/** RFC 4291 section 2.2, third form: the last four bytes in decimal. */
const IPV6_DOTTED = new RegExp(`^([0-9a-f:]*:)(${OCTET})\\.(${OCTET})\\.(${OCTET})\\.(${OCTET})$`, 'i');
const MAX_ADDRESS_TEXT = 45;

/**
 * What kind of address a text is. Strict: four decimal octets without leading zeros, or RFC 4291 IPv6
 * without zone and brackets; anything else is `unparsable`.
 */
export function classifyAddress(text: string): AddressClass {
  const ip = parse(text);
  return ip === null ? UNPARSABLE : classify(ip);
}

/**
 * May this address be dialled on behalf of a rule that opens `allowed`? Metadata services, unspecified
 * addresses and the proxy's own listeners never; own interface addresses and everything that is not
 * public only when `allowed` holds the address as dialled (IPv4-mapped IPv6 counts as its IPv4).
 */
export function judgeAddress(ask: AddressAsk): 'ok' | 'blocked' {
  const ip = parse(ask.address);
  if (ip === null) return 'blocked';
  const dialled = unmap(ip);
  const kind = classify(dialled);
  if (kind.metadata || kind.kind === 'unspecified') return 'blocked';
  const faces = [dialled, ...embedded(dialled)];
  if (ask.own.listeners.some((at) => at.port === ask.port && listensOn(at.address, faces, ask.own))) {
    return 'blocked';
  }
  const plain = kind.public && !faces.some((face) => isAmong(face, ask.own.addresses));
  return plain || holds(ask.allowed, dialled) ? 'ok' : 'blocked';
}

/** Does one of the CIDRs hold the address? IPv4-mapped IPv6 counts as its IPv4; unparsable text is in none. */
export function inRanges(address: string, ranges: readonly Cidr[]): boolean {
  const ip = parse(address);
  return ip !== null && holds(ranges, unmap(ip));
}

/** Canonical text of an address: IPv4 as it is, IPv6 as RFC 5952 writes it, IPv4-mapped as IPv4; else null. */
export function canonicalAddress(text: string): string | null {
  const ip = parse(text);
  return ip === null ? null : print(unmap(ip));
}

/** The literal that a host pattern spells: its kind and canonical text, without unmapping; null when none. */
export function parseLiteral(text: string): { kind: 'ipv4' | 'ipv6'; text: string } | null {
  const ip = parse(text);
  return ip === null ? null : { kind: ip.kind(), text: print(ip) };
}

/** What people meant by `127.1`, `0x7f000001` or `010.0.0.1`: for the fix in an error, never for a decision. */
export function guessIpv4(text: string): string | null {
  try {
    return ipaddr.IPv4.parse(text).toString();
  } catch {
    return null; // not even loosely an address: the caller words its error without a guess
  }
}

/** A CIDR or single address in canonical form, or what is wrong with it and how to write it. */
export function parseCidr(text: string): { cidr: Cidr; bits: number; v6: boolean } | { fix: string } {
  const slash = text.indexOf('/');
  const ip = parse(slash < 0 ? text : text.slice(0, slash));
  if (ip === null) return { fix: 'write a range such as 10.0.0.0/8 or fd00::/8' };
  const width = ip.kind() === 'ipv4' ? 32 : 128;
  const tail = slash < 0 ? String(width) : text.slice(slash + 1);
  const bits = /^(?:0|[1-9][0-9]{0,2})$/.test(tail) ? Number(tail) : -1;
  if (bits < 0 || bits > width) return { fix: `write a prefix length from 0 to ${width} after the slash` };
  const first = print(firstOf(ip, bits));
  const cidr = `${first}/${bits}`;
  return first === print(ip) ? { cidr, bits, v6: width === 128 } : { fix: `write ${cidr}` };
}

function parse(text: string): Ip | null {
  if (text.length > MAX_ADDRESS_TEXT) return null;
  if (STRICT_IPV4.test(text)) return ipaddr.IPv4.parse(text);
  const groups = text.includes('.') ? withoutDots(text) : text;
  if (groups === null || !IPV6_GROUPS.test(groups) || !ipaddr.IPv6.isValid(groups)) return null;
  return ipaddr.IPv6.parse(groups);
}

/** In hex groups alone: ipaddr.js reads `::8.8.8.8` as if `::ffff:8.8.8.8` stood there, and takes leading zeros. */
function withoutDots(text: string): string | null {
  const [, head, ...octets] = IPV6_DOTTED.exec(text) ?? [];
  if (head === undefined) return null;
  const [a = 0, b = 0, c = 0, d = 0] = octets.map(Number);
  return `${head}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

function print(ip: Ip): string {
  return ip instanceof ipaddr.IPv6 ? ip.toRFC5952String() : ip.toString();
}

function unmap(ip: Ip): Ip {
  return ip instanceof ipaddr.IPv6 && ip.isIPv4MappedAddress() ? ip.toIPv4Address() : ip;
}

function firstOf(ip: Ip, bits: number): Ip {
  const bytes = ip.toByteArray().map((byte, at) => {
    const kept = Math.min(8, Math.max(0, bits - at * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  return ipaddr.fromByteArray(bytes);
}

function within(ip: Ip, range: Range): boolean {
  return ip.kind() === range[0].kind() && ip.match(range[0], range[1]);
}

function classify(ip: Ip): AddressClass {
  const inner = embedded(ip);
  if ([ip, ...inner].some((face) => METADATA_RANGES.some((range) => within(face, range)))) return METADATA;
  if (!(ip instanceof ipaddr.IPv6)) {
    const range = ip.range();
    return { public: range === 'unicast', metadata: false, kind: range === 'unicast' ? 'public' : range };
  }
  // Mapped (RFC 4291 2.5.5.2) and well-known NAT64 (RFC 6052 3.1) reach the IPv4 host itself: it decides.
  const [carried] = inner;
  if (carried !== undefined && carriesIpv4(ip)) {
    const kind = classify(carried);
    return { ...kind, kind: kind.public ? 'public' : `embedded ${kind.kind}` };
  }
  const range = ip.range();
  if (range !== 'unicast' || !within(ip, GLOBAL_UNICAST)) {
    return { public: false, metadata: false, kind: range === 'unicast' ? 'reserved' : range };
  }
  const hidden = inner.find((face) => !classify(face).public);
  if (hidden !== undefined) return { public: false, metadata: false, kind: 'embedded' };
  return { public: true, metadata: false, kind: 'public' };
}

function carriesIpv4(ip: ipaddr.IPv6): boolean {
  return ip.isIPv4MappedAddress() || wellKnownNat64(ip.parts);
}

function wellKnownNat64(parts: readonly number[]): boolean {
  return parts[0] === 0x64 && parts[1] === 0xff9b && parts.slice(2, 6).every((part) => part === 0);
}

/** Every IPv4 address that an IPv6 address may stand for on some network. */
function embedded(ip: Ip): readonly ipaddr.IPv4[] {
  if (!(ip instanceof ipaddr.IPv6)) return [];
  const bytes = ip.toByteArray();
  const p = ip.parts;
  const found: number[][] = [];
  const low = bytes.slice(12);
  // ::/96 compatible, ::ffff:0:0/96 mapped, ::ffff:0:0:0/96 SIIT (RFC 2765)
  if (p.slice(0, 4).every((part) => part === 0)) found.push(low);
  if (p[0] === 0x64 && p[1] === 0xff9b) {
    found.push(low);
    // local-use NAT64 (RFC 8215) puts the address around the u octet: RFC 6052 2.2, prefix /48
    if (p[2] === 1) found.push([...bytes.slice(6, 8), ...bytes.slice(9, 11)]);
  }
  if (p[0] === 0x2002) found.push(bytes.slice(2, 6)); // 6to4, RFC 3056
  // Teredo (RFC 4380 section 4): server as it is, client inverted
  if (p[0] === 0x2001 && p[1] === 0)
    found.push(
      bytes.slice(4, 8),
      low.map((byte) => byte ^ 0xff),
    );
  // ISATAP interface identifier, RFC 5214 6.1, with the u bit either way
  if ((p[4] === 0 || p[4] === 0x200) && p[5] === 0x5efe) found.push(low);
  return found.map((octets) => new ipaddr.IPv4(octets));
}

function holds(ranges: readonly Cidr[], ip: Ip): boolean {
  return ranges.some((text) => ipaddr.isValidCIDR(text) && within(ip, ipaddr.parseCIDR(text)));
}

function isAmong(ip: Ip, addresses: readonly string[]): boolean {
  const text = print(ip);
  return addresses.some((address) => canonicalAddress(address) === text);
}

/** Is one of these faces an address on which a listener at `address` takes connections? */
function listensOn(address: string, faces: readonly Ip[], own: OwnAddresses): boolean {
  const listening = parse(address);
  if (listening === null) return true; // an own address that cannot be read: better refuse the port
  if (listening.range() !== 'unspecified') {
    const text = print(unmap(listening));
    return faces.some((face) => print(face) === text);
  }
  return faces.some((face) => face.range() === 'loopback' || isAmong(face, own.local));
}
