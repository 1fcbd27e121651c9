/**
 * IP addresses and ranges as text. Strict: `127.1` and `010.0.0.1` mean different addresses to different systems, so they
 * are none. Used wherever an address is read or compared.
 */
import ipaddr from 'ipaddr.js';
import type { Cidr } from '../flow/verdict.ts';

export type Ip = ipaddr.IPv4 | ipaddr.IPv6;
export type Range = [Ip, number];

const OCTET = '(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])';
const STRICT_IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
const IPV6_GROUPS = /^[0-9a-f:]*:[0-9a-f:]*$/i;
/** RFC 4291 section 2.2, third form: the last four bytes in decimal. */
const IPV6_DOTTED = new RegExp(`^([0-9a-f:]*:)(${OCTET})\\.(${OCTET})\\.(${OCTET})\\.(${OCTET})$`, 'i');
const MAX_ADDRESS_TEXT = 45;
/** of ::ffff:0:0/96 */
const MAPPED_BITS = 96;

/** Does one of the CIDRs hold the address? IPv4-mapped IPv6 counts as its IPv4; unparsable text is in none. */
export function inRanges(address: string, ranges: readonly Cidr[]): boolean {
  const ip = parseIp(address);
  return ip !== null && holds(ranges, unmap(ip));
}

/** Canonical text of an address: IPv4 as it is, IPv6 as RFC 5952 writes it, IPv4-mapped as IPv4; else null. */
export function canonicalAddress(text: string): string | null {
  const ip = parseIp(text);
  return ip === null ? null : ipText(unmap(ip));
}

/** The literal that a host pattern spells: its kind and canonical text, without unmapping; null when none. */
export function parseLiteral(text: string): { kind: 'ipv4' | 'ipv6'; text: string } | null {
  const ip = parseIp(text);
  return ip === null ? null : { kind: ip.kind(), text: ipText(ip) };
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
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (ip === null) return { fix: 'write a range such as 10.0.0.0/8 or fd00::/8' };
  const width = ip.kind() === 'ipv4' ? 32 : 128;
  const tail = slash < 0 ? String(width) : text.slice(slash + 1);
  const bits = /^(?:0|[1-9][0-9]{0,2})$/.test(tail) ? Number(tail) : -1;
  if (bits < 0 || bits > width) return { fix: `write a prefix length from 0 to ${width} after the slash` };
  if (ip instanceof ipaddr.IPv6 && ip.isIPv4MappedAddress() && bits >= MAPPED_BITS) {
    // Clients and upstreams are compared by their IPv4 address: this range would hold none of them.
    const inner = ip.toIPv4Address();
    return { fix: `write ${ipText(firstOf(inner, bits - MAPPED_BITS))}/${bits - MAPPED_BITS}` };
  }
  const first = ipText(firstOf(ip, bits));
  const cidr = `${first}/${bits}`;
  return first === ipText(ip) ? { cidr, bits, v6: width === 128 } : { fix: `write ${cidr}` };
}

/** Four decimal octets without leading zeros, or RFC 4291 IPv6 without zone and brackets; anything else: null. */
export function parseIp(text: string): Ip | null {
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

/** IPv4 as it is, IPv6 as RFC 5952 writes it. */
export function ipText(ip: Ip): string {
  return ip instanceof ipaddr.IPv6 ? ip.toRFC5952String() : ip.toString();
}

/** IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2) as its IPv4: a system connects to that one. */
export function unmap(ip: Ip): Ip {
  return ip instanceof ipaddr.IPv6 && ip.isIPv4MappedAddress() ? ip.toIPv4Address() : ip;
}

function firstOf(ip: Ip, bits: number): Ip {
  const bytes = ip.toByteArray().map((byte, at) => {
    const kept = Math.min(8, Math.max(0, bits - at * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  return ipaddr.fromByteArray(bytes);
}

/** Never across the families: `unmap` first, where a mapped address counts as its IPv4. */
export function within(ip: Ip, range: Range): boolean {
  return ip.kind() === range[0].kind() && ip.match(range[0], range[1]);
}

/** Is the address in one of the CIDRs; text that is no CIDR holds nothing. */
export function holds(ranges: readonly Cidr[], ip: Ip): boolean {
  return ranges.some((text) => ipaddr.isValidCIDR(text) && within(ip, ipaddr.parseCIDR(text)));
}
