/**
 * Requests as people write them: `GET https://host/path`, `https://host`, `CONNECT host:443`. For `explain`,
 * `test` and the admin API; live requests come through `wire/` and never through here, but the host and port
 * go through the same strict parser.
 */

import { domainToASCII } from 'node:url';
import type { Authority } from '../flow/target.ts';
import type { Facts } from '../flow/verdict.ts';
import { isAuthority, parseAuthority } from '../wire/authority.ts';

export type WrittenRequest = {
  readonly at: Authority;
  readonly scheme: 'https' | 'http';
  /** `null`: a CONNECT alone */
  readonly facts: Facts | null;
};

const PORTS = { https: 443, http: 80 } as const;
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;

/** Reads `[METHOD] URL` in one text. */
export function parseWrittenRequest(text: string): WrittenRequest | { problem: string } {
  const [first = '', second, ...rest] = text.trim().split(/\s+/);
  if (rest.length > 0 || first === '')
    return { problem: 'write METHOD URL, for example GET https://host/path' };
  return second === undefined ? parseRequest('GET', first) : parseRequest(first, second);
}

/** Reads a method and a URL (CONNECT: host:port). Method names are case-sensitive, as in HTTP. */
export function parseRequest(method: string, url: string): WrittenRequest | { problem: string } {
  if (!METHOD.test(method)) return { problem: `"${method}" is no HTTP method` };
  if (method === 'CONNECT') {
    const at = parseAuthority(url.replace(/^https:\/\/([^/]*)\/?$/, '$1'), PORTS.https);
    return isAuthority(at)
      ? { at, scheme: 'https', facts: null }
      : { problem: at.detail ?? 'malformed host' };
  }
  const parts = /^(https?|wss?):\/\/([^/?#]*)([^#]*)$/i.exec(url);
  if (parts === null) return { problem: `"${url}" is no http:// or https:// URL` };
  const [, written = '', authority = '', rest = ''] = parts;
  const protocol = /^ws/i.test(written) ? 'websocket' : 'http/1.1';
  const scheme = /^(?:https|wss)$/i.test(written) ? 'https' : 'http';
  const at = parseAuthority(authority, PORTS[scheme]);
  if (!isAuthority(at)) {
    const ascii = inAscii(authority);
    const fix = ascii === null ? '' : `: write ${ascii}`;
    return { problem: `${at.detail ?? `"${authority}" is no host`}${fix}` };
  }
  if (/[^\u0021-\u007e]/.test(rest))
    return { problem: 'the path holds white space or non-ASCII: percent-encode it' };
  const path = rest.startsWith('/') ? rest : `/${rest}`;
  return { at, scheme, facts: { method, path, protocol } };
}

/** The A-labels of a name with letters beyond ASCII, port included, or null. */
function inAscii(authority: string): string | null {
  const [, name = '', port = ''] = /^([^:]*)(:[0-9]+)?$/.exec(authority) ?? [];
  const ascii = /[^\u0021-\u007e]/.test(name) ? domainToASCII(name.normalize('NFC')) : '';
  return ascii === '' ? null : `${ascii}${port}`;
}
