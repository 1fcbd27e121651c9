/**
 * Host patterns of rules and secrets (contract sections 3 and 11): an exact name, `*.rest` for one or more
 * labels below `rest` (never `rest` itself), `*` for any public name, or a literal address. Parsed once when
 * policies load; matched label-wise against a canonical Authority, so comparing is `===` and `endsWith`.
 */
import { getPublicSuffix, parse as parseDomain } from 'tldts';
import type { Authority } from '../flow/target.ts';
import { guessIpv4, parseLiteral } from './address-text.ts';

export type HostPattern = {
  readonly kind: 'exact' | 'below' | 'any';
  /** the canonical host, `.rest` of `*.rest`, or `*` */
  readonly host: string;
  /** `null`: none named, so 443 for HTTPS and 80 for plain HTTP */
  readonly ports: readonly number[] | null;
  /** normalised spelling, port included when one was written; bounded, so fit for metric labels */
  readonly text: string;
  /** legal but unwise, in words */
  readonly warning?: string;
};

export type HostPatternFault = {
  readonly message: string;
  readonly fix: string;
  /** the name holds letters beyond ASCII: a caller that knows UTS #46 can show the A-label */
  readonly beyondAscii?: true;
};

/** What kind of spoken protocol a port is asked for: CONNECT may turn out to be either. */
export type PortUse = 'https' | 'http' | 'connect';

/** Names that RFC 6761, 6762 (with its appendix G), 7686, 8375, 9476 and common practice keep off the public DNS. */
const SPECIAL_SUFFIXES = [
  'localhost',
  'localdomain',
  'local',
  'internal',
  'intranet',
  'private',
  'corp',
  'home',
  'lan',
  'svc',
  'arpa',
  'onion',
  'alt',
];

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/;
const MAX_NAME = 253;
const MAX_LABEL = 63;
const MAX_PORT = 65_535;

/**
 * Parses one pattern. `defaultPorts` are those of the rule (`ports:`) for a pattern that names none; a
 * pattern with a port of its own under such a rule is refused, because either reading would surprise.
 */
export function parseHostPattern(
  text: string,
  defaultPorts: readonly number[] | null = null,
): HostPattern | HostPatternFault {
  const split = splitPort(text);
  if ('fix' in split) return split;
  if (split.port !== null && defaultPorts !== null) {
    return fault(`"${text}" names a port and the rule has \`ports\``, 'keep one of the two');
  }
  const ports = split.port === null ? defaultPorts : [split.port];
  const parsed = split.bracketed ? bracketedHost(split.host) : parseHost(split.host, text);
  if ('fix' in parsed) return parsed;
  const host = parsed.kind === 'below' ? `*${parsed.host}` : parsed.host;
  const shown = split.port === null ? host : `${host.includes(':') ? `[${host}]` : host}:${split.port}`;
  const warning = sharedSuffix(parsed.kind, parsed.host);
  return { ...parsed, ports, text: shown, ...(warning === null ? {} : { warning }) };
}

export function isHostPattern(parsed: HostPattern | HostPatternFault): parsed is HostPattern {
  return 'kind' in parsed;
}

/** Do host and port fit, with 443 and 80 for a pattern that names no port? */
export function matchesHost(pattern: HostPattern, at: Authority): boolean {
  return fitsHost(pattern, at) && fitsPort(pattern.ports, at.port, 'connect');
}

/** Does the host fit, whatever the port? */
export function fitsHost(pattern: HostPattern, at: Authority): boolean {
  switch (pattern.kind) {
    case 'exact':
      return pattern.host === at.host;
    case 'below':
      return at.kind === 'name' && at.host.endsWith(pattern.host);
    case 'any':
      return at.kind === 'name' && isPublicName(at.host);
    default:
      return pattern.kind satisfies never;
  }
}

export function fitsPort(ports: readonly number[] | null, port: number, use: PortUse): boolean {
  if (ports !== null) return ports.includes(port);
  return (port === 443 && use !== 'http') || (port === 80 && use !== 'https');
}

/** Could the public DNS know this name? Address literals and single labels are the caller's business. */
function isPublicName(host: string): boolean {
  const lastDot = host.lastIndexOf('.');
  return lastDot > 0 && !SPECIAL_SUFFIXES.includes(host.slice(lastDot + 1));
}

/** Does every host of `inner` fit `outer`? Ports are left aside. */
export function coversHost(outer: HostPattern, inner: HostPattern): boolean {
  if (outer.kind === 'any') {
    return inner.kind === 'any' || (parseLiteral(inner.host) === null && isPublicName(inner.host));
  }
  if (outer.kind === 'exact') return inner.kind === 'exact' && outer.host === inner.host;
  return inner.kind !== 'any' && inner.host.endsWith(outer.host);
}

/** Is there a host that fits both? Ports are left aside. */
export function hostsOverlap(a: HostPattern, b: HostPattern): boolean {
  return coversHost(a, b) || coversHost(b, a);
}

function fault(message: string, fix: string): HostPatternFault {
  return { message, fix };
}

type Split = { host: string; port: number | null; bracketed: boolean };

function splitPort(text: string): Split | HostPatternFault {
  if (text.trim() === '') return fault('a host pattern is empty', 'name a host, or remove the entry');
  if (/[\s,]/.test(text)) return separated(text);
  if (/[/?#@\\]/.test(text)) {
    const inner = /^(?:[a-z][a-z0-9+.-]*:)?\/*(?:[^/?#@\\]*@)?([^/?#@\\]*)/i.exec(text)?.[1];
    if (inner === undefined || !isHostPattern(parseHostPattern(inner))) {
      return fault(`"${text}" is more than a host`, 'write only a host, for example "api.example.com"');
    }
    return fault(`"${text}" is more than a host`, `write only the host: "${inner}"`);
  }
  const bracket = /^\[([^[\]]*)\](?::(.*))?$/.exec(text);
  if (bracket !== null) return withPort(text, bracket[1] ?? '', bracket[2], true);
  const colons = text.split(':').length - 1;
  if (colons > 1) return { host: text, port: null, bracketed: false };
  const colon = text.indexOf(':');
  if (colon < 0) return { host: text, port: null, bracketed: false };
  return withPort(text, text.slice(0, colon), text.slice(colon + 1), false);
}

/** Several hosts in one text, or blanks in one. */
function separated(text: string): HostPatternFault {
  const parts = text.split(/[\s,]+/).filter((part) => part !== '');
  if (text.includes(',') && parts.length > 1) {
    return fault(
      `"${text}" is more than one host`,
      `write a list: [${parts.map((part) => `"${part}"`).join(', ')}]`,
    );
  }
  return fault(`"${text}" holds white space`, `write "${parts.join('')}"`);
}

function withPort(
  text: string,
  host: string,
  port: string | undefined,
  bracketed: boolean,
): Split | HostPatternFault {
  if (port === undefined) return { host, port: null, bracketed };
  const value = /^[1-9][0-9]{0,4}$/.test(port) ? Number(port) : 0;
  if (value < 1 || value > MAX_PORT) {
    return fault(`"${text}" has no valid port`, 'write a port from 1 to 65535 after the colon, or no colon');
  }
  return { host, port: value, bracketed };
}

type Parsed = Pick<HostPattern, 'kind' | 'host'>;

function bracketedHost(host: string): Parsed | HostPatternFault {
  const literal = parseLiteral(host);
  if (literal?.kind !== 'ipv6') return fault(`"[${host}]" is no IPv6 address`, 'brackets hold IPv6 only');
  return exactLiteral(host, literal.text);
}

function exactLiteral(written: string, canonical: string): Parsed | HostPatternFault {
  if (written === canonical) return { kind: 'exact', host: canonical };
  return fault(`"${written}" is not the canonical spelling`, `write "${canonical}"`);
}

function parseHost(written: string, text: string): Parsed | HostPatternFault {
  const literal = parseLiteral(written);
  if (literal !== null) return exactLiteral(written, literal.text);
  if (written.includes(':')) {
    return fault(`"${text}" is neither an IPv6 address nor host:port`, 'write IPv6 with a port as [::1]:443');
  }
  if (/[^\u0021-\u007e]/.test(written)) {
    const message = `"${text}" is not in A-labels`;
    return { message, fix: 'write the name in its xn-- form', beyondAscii: true };
  }
  const name = written.toLowerCase().replace(/\.$/, '');
  if (name === '*') return { kind: 'any', host: '*' };
  if (name.startsWith('*.') && !name.includes('*', 1)) return wildcard(name.slice(2), text);
  if (name.includes('*') || name.startsWith('.')) return fault(...misplacedStar(name, text));
  return parseName(name, text) ?? { kind: 'exact', host: name };
}

function misplacedStar(name: string, text: string): [string, string] {
  const rest = name.replace(/^[^.]*\*[^.]*\.|^\.+/, '');
  const fix = rest.includes('*') || rest === '' ? 'write an exact name or "*.rest"' : `write "*.${rest}"`;
  return [`"${text}": \`*\` stands for whole labels at the front only`, fix];
}

function wildcard(rest: string, text: string): Parsed | HostPatternFault {
  const wrong = parseName(rest, text);
  if (wrong !== null) return wrong;
  const suffix = parseDomain(rest, { allowPrivateDomains: false, validateHostname: false });
  if (suffix.isIcann === true && suffix.publicSuffix === rest) {
    return fault(`"${text}" is as wide as a public suffix`, `name the domain: "*.example.${rest}"`);
  }
  return { kind: 'below', host: `.${rest}` };
}

/** What is wrong with a lower-case ASCII name without its trailing dot, or null. */
function parseName(name: string, text: string): HostPatternFault | null {
  const labels = name.split('.');
  const last = labels.at(-1) ?? '';
  if (/^(?:[0-9]+|0x[0-9a-f]*)$/.test(last)) {
    // A leading zero is octal to some programs and a slip to most people: either reading would surprise.
    const guess = labels.some((label) => /^0[0-9]/.test(label)) ? null : guessIpv4(name);
    return fault(
      `"${text}" is not a canonical IPv4 address`,
      guess === null ? 'write four decimal numbers, without leading zeros' : `write "${guess}"`,
    );
  }
  if (name.length > MAX_NAME || labels.some((label) => label.length > MAX_LABEL)) {
    return fault(
      `"${text.slice(0, 40)}..." is longer than DNS allows`,
      'labels hold up to 63, names up to 253 characters',
    );
  }
  if (labels.includes('')) return fault(`"${text}" has an empty label`, 'write single dots between labels');
  const bad = labels.find((label) => !LABEL.test(label));
  if (bad === undefined) return null;
  return fault(
    `"${text}": label "${bad}" is not a host name`,
    'use letters, digits, hyphens inside and underscores',
  );
}

/** A wildcard right below a suffix that strangers share, such as github.io. */
function sharedSuffix(kind: HostPattern['kind'], host: string): string | null {
  if (kind !== 'below') return null;
  const rest = host.slice(1);
  const suffix = getPublicSuffix(rest, { allowPrivateDomains: true, validateHostname: false });
  return suffix === rest && rest.includes('.') ? `anyone can have a site below ${rest}` : null;
}
