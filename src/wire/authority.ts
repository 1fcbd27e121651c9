/**
 * Turns the text of a host and port into the one canonical target of a request. Called with the
 * target of CONNECT, of an absolute-form URI, with Host, with SNI; every later step takes the object.
 *
 * The grammar is narrower than RFC 3986: no percent escapes, no sub-delimiters, no IPvFuture, no zone
 * id, no number that is not dotted decimal. Node's own helpers are not used: `new URL()` maps and
 * deletes characters, and `net.isIPv6()` takes a zone id that may end in any allowed suffix.
 */
import { type Denied, denied } from '../flow/reason.ts';
import type { Authority, Host } from '../flow/target.ts';
import { isALabel } from './a-label.ts';

/** 253 octets of name, a trailing dot, brackets, a colon and five digits, with room to spare. */
const MAX_AUTHORITY_CHARS = 300;
/** RFC 1035 section 2.3.4, in presentation form without the trailing dot. */
const MAX_NAME_CHARS = 253;

// Underscore is no hostname character of RFC 1123, but a legal DNS label (RFC 2181 section 11) in use.
const NAME = /^[A-Za-z0-9_.-]+$/;
const LABELS = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
// What inet_aton() and the WHATWG parser take for an address: a last label that is a number.
const NUMERIC_LAST_LABEL = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/;
const PORT = /^[1-9][0-9]{0,4}$/;
const IPV4 = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;
const IPV6_CHARS = /^[0-9A-Fa-f:.]{2,45}$/;
const GROUP = /^[0-9a-f]{1,4}$/;

/**
 * @param text latin-1 decoded bytes, `host:port`, IPv6 in brackets
 * @param defaultPort used when the text has no port; without it a port is required
 * @returns the canonical authority, or `bad_authority`
 */
export function parseAuthority(text: string, defaultPort?: number): Authority | Denied {
  if (text.length > MAX_AUTHORITY_CHARS) return denied('bad_authority', 'host is too long');
  const bracketed = text.charCodeAt(0) === 0x5b;
  const colon = bracketed ? text.indexOf(']') + 1 : text.indexOf(':');
  if (bracketed && colon === 0) return denied('bad_authority', 'bracket is not closed');
  const hostEnd = colon < 0 ? text.length : colon;
  const port = parsePort(text, hostEnd, defaultPort);
  if (port === 0) return denied('bad_authority', 'port is missing or malformed');
  const hostText = text.slice(0, hostEnd);
  if (bracketed) {
    const host = parseIpv6(hostText.slice(1, -1));
    return host === null ? denied('bad_authority', 'malformed IPv6 address') : { host, kind: 'ipv6', port };
  }
  if (IPV4.test(hostText)) return { host: brand(hostText), kind: 'ipv4', port };
  const host = parseName(hostText);
  return host === null ? denied('bad_authority', 'malformed host name') : { host, kind: 'name', port };
}

/** Tells the two results of {@link parseAuthority} apart. */
export function isAuthority(x: Authority | Denied): x is Authority {
  return x.kind !== 'deny';
}

/**
 * An address literal by itself: strict dotted-decimal IPv4, or RFC 4291 IPv6 without brackets or zone.
 * @returns canonical text (RFC 5952; an embedded IPv4 address is written in hex groups), or null
 */
export function parseAddress(text: string): { host: Host; kind: 'ipv4' | 'ipv6' } | null {
  if (IPV4.test(text)) return { host: brand(text), kind: 'ipv4' };
  const host = parseIpv6(text);
  return host === null ? null : { host, kind: 'ipv6' };
}

/** @returns 0 when the port is malformed, or missing where it must not be */
function parsePort(text: string, hostEnd: number, defaultPort: number | undefined): number {
  if (hostEnd === text.length) return defaultPort ?? 0;
  if (text.charCodeAt(hostEnd) !== 0x3a) return 0;
  const digits = text.slice(hostEnd + 1);
  // Leading zeros are legal digits in RFC 3986; refused here, because parsers disagree about them.
  if (!PORT.test(digits)) return 0;
  const port = Number(digits);
  return port <= 65_535 ? port : 0;
}

function parseName(text: string): Host | null {
  // Before lower-casing: U+212A and U+0130 must not fold into ASCII letters.
  if (!NAME.test(text)) return null;
  const lower = text.toLowerCase();
  const name = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  if (name.length > MAX_NAME_CHARS || !LABELS.test(name) || NUMERIC_LAST_LABEL.test(name)) return null;
  if (name.includes('xn--') && !name.split('.').every(isALabel)) return null;
  return brand(name);
}

function parseIpv6(text: string): Host | null {
  if (!IPV6_CHARS.test(text)) return null;
  const lower = text.toLowerCase();
  const gap = lower.indexOf('::');
  if (gap !== lower.lastIndexOf('::')) return null;
  const head = groupsOf(gap < 0 ? lower : lower.slice(0, gap), gap < 0);
  const tail = gap < 0 ? [] : groupsOf(lower.slice(gap + 2), true);
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (gap < 0 ? missing !== 0 : missing < 1) return null;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  return brand(ipv6Text(groups));
}

/** Numbers of colon-separated groups; the last may be dotted IPv4 where `dotted` says so. */
function groupsOf(text: string, dotted: boolean): number[] | null {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (dotted && index === parts.length - 1 && IPV4.test(part)) {
      const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
      groups.push(a * 256 + b, c * 256 + d);
    } else if (GROUP.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return null;
    }
  }
  return groups;
}

/** RFC 5952 section 4: no leading zeros, the longest run of two or more zero groups, the first of equals. */
function ipv6Text(groups: readonly number[]): string {
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > bestLength) {
      best = i;
      bestLength = end - i;
    }
  }
  const hex = groups.map((group) => group.toString(16));
  if (best < 0) return hex.join(':');
  return `${hex.slice(0, best).join(':')}::${hex.slice(best + bestLength).join(':')}`;
}

function brand(text: string): Host {
  return text as Host;
}
