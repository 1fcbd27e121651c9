/**
 * What kind of address it is: an allowlist, in which only global unicast, after unwrapping embedded IPv4, is public; the
 * IANA special-purpose registries and cloud metadata services are not. Asked by `address-guard.ts`.
 */
import ipaddr from 'ipaddr.js';
import { type Ip, parseIp, type Range, within } from './address-text.ts';

export type AddressClass = {
  readonly public: boolean;
  /** a cloud metadata or platform service: no rule can open it */
  readonly metadata: boolean;
  /** one word for logs and tests, never for the sandbox */
  readonly kind: string;
};

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

/** What kind of address a text is; `unparsable` for what `parseIp` does not take. */
export function classifyAddress(text: string): AddressClass {
  const ip = parseIp(text);
  return ip === null ? UNPARSABLE : classify(ip);
}

/** An IPv6 address is judged by the IPv4 addresses that it may stand for, too. */
export function classify(ip: Ip): AddressClass {
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
export function embedded(ip: Ip): readonly ipaddr.IPv4[] {
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
