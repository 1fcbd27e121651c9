/**
 * HTTP/2 header sections into HTTP/1.1 heads and back (RFC 9113 section 8). A request of any transport is judged,
 * swapped and recorded as an HTTP/1.1 head by the same strict parser, so that no transport skips a rule. What a head
 * text could not say unambiguously is refused here. Called by `intercept/h2-*` and `dial/h2-*`; pure.
 */
import { type Denied, denied } from '../flow/reason.ts';
import { isHopByHop, trimOws } from './hop.ts';
import type { RequestHead, ResponseHead } from './http1-parse.ts';

/** names and values in turn, as they came */
export type RawFields = readonly string[];

/** An HTTP/1.1 head without its final empty line; `chunked`: its body has to be framed so. */
export type Printed = { readonly kind: 'head'; readonly text: string; readonly chunked: boolean };

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const PSEUDO_VALUE = /^[\x21-\x7e]+$/;
const STATUS = /^[1-5][0-9]{2}$/;
/** RFC 9113 section 8.2.2. */
const OF_ONE_CONNECTION: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
/** RFC 9110 section 8.6: these say `Content-Length: 0` where they have no body. */
const EXPECTS_CONTENT: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

const bad = (detail: string): Denied => denied('bad_request', `HTTP/2: ${detail}`);

/**
 * A client's request as an HTTP/1.1 head.
 * @param ended no body follows
 * @returns the head, `bad_request`, `host_mismatch`, or `method_refused` for extended CONNECT
 */
export function printRequest(raw: RawFields, ended: boolean): Printed | Denied {
  const section = readSection(raw);
  if (typeof section === 'string') return bad(section);
  const start = requestStart(section);
  if ('kind' in start) return start;
  const { method, authority } = start;
  const lines = [`${method} ${start.target} HTTP/1.1`, `Host: ${authority}`, ...section.lines];
  const sized = section.names.has('content-length');
  const framed = !ended && !sized && method !== 'CONNECT';
  if (framed) lines.push('Transfer-Encoding: chunked');
  if (ended && !sized && EXPECTS_CONTENT.has(method)) lines.push('Content-Length: 0');
  return { kind: 'head', text: lines.join('\r\n'), chunked: framed };
}

/** Field list of a request to an upstream. `head`: printed by `rebuildRequestHead`, keys in it. */
export function requestFields(head: RequestHead): string[] {
  const fields = [
    ':method',
    head.method,
    ':scheme',
    'https',
    ':authority',
    head.host ?? '',
    ':path',
    head.target,
  ];
  eachField(head, (name, value) => {
    if (name === 'te' && value.toLowerCase() === 'trailers') fields.push(name, 'trailers');
    else if (name !== 'host' && !isHopByHop(name)) fields.push(name, value);
  });
  return fields;
}

/**
 * An upstream's response, interim or final, as an HTTP/1.1 head.
 * @param how.ended no body follows
 * @returns null where it is malformed
 */
export function printResponse(
  raw: RawFields,
  how: { readonly method: string; readonly ended: boolean },
): (Printed & { readonly status: number }) | null {
  const section = readSection(raw);
  if (typeof section === 'string') return null;
  const status = section.pseudo.get(':status');
  if (status === undefined || section.pseudo.size > 1 || !STATUS.test(status) || status === '101')
    return null;
  const bodiless = how.method === 'HEAD' || status < '200' || status === '204' || status === '304';
  const chunked = !bodiless && !section.names.has('content-length');
  const lines = [`HTTP/1.1 ${status} `, ...section.lines];
  if (chunked) lines.push('Transfer-Encoding: chunked');
  return { kind: 'head', text: lines.join('\r\n'), chunked, status: Number(status) };
}

/** Field list of a response to a client. `head`: as `rebuildResponseHead` printed it. */
export function responseFields(head: ResponseHead): string[] {
  const fields = [':status', String(head.status)];
  eachField(head, (name, value) => {
    if (!isHopByHop(name)) fields.push(name, value);
  });
  return fields;
}

/** Trailer lines, each with its leading CRLF; null where they are malformed. */
export function printTrailers(raw: RawFields): string | null {
  const section = readSection(raw);
  if (typeof section === 'string' || section.pseudo.size > 0) return null;
  return section.lines.map((line) => `\r\n${line}`).join('');
}

/** Checked trailer lines as a field list. */
export function trailerFields(lines: string): string[] {
  const fields: string[] = [];
  eachField({ text: lines, fieldsAt: 0 }, (name, value) => {
    if (!isHopByHop(name)) fields.push(name, value);
  });
  return fields;
}

/** A field list as an object: what may stand several times has several values. */
export function fieldRecord(fields: RawFields): Record<string, string | string[]> {
  const found = new Map<string, string | string[]>();
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name = '', value = ''] = [fields[at], fields[at + 1]];
    const before = found.get(name);
    if (before === undefined) found.set(name, value);
    else if (typeof before === 'string') found.set(name, [before, value]);
    else before.push(value);
  }
  return Object.fromEntries(found);
}

type Section = {
  readonly pseudo: ReadonlyMap<string, string>;
  readonly names: ReadonlySet<string>;
  /** field lines; cookie crumbs in one (RFC 9113 section 8.2.3) */
  readonly lines: string[];
  readonly host: string | null;
};

/** RFC 9113 section 8.2 and 8.3; a complaint is text. */
function readSection(raw: RawFields): Section | string {
  const reader = new SectionReader();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = [raw[at], raw[at + 1]];
    const wrong = name.startsWith(':') ? reader.pseudoField(name, value) : reader.field(name, value);
    if (wrong !== null) return wrong;
  }
  return reader.section();
}

class SectionReader {
  readonly #pseudo = new Map<string, string>();
  readonly #names = new Set<string>();
  readonly #lines: string[] = [];
  readonly #crumbs: string[] = [];
  #cookieAt = -1;
  #host: string | null = null;

  pseudoField(name: string, value: string): string | null {
    if (this.#names.size > 0) return 'a pseudo-header field behind a field';
    if (this.#pseudo.has(name)) return 'a pseudo-header field stands twice';
    if (!PSEUDO_VALUE.test(value)) return 'malformed pseudo-header field';
    this.#pseudo.set(name, value);
    return null;
  }

  field(name: string, value: string): string | null {
    const wrong = fieldFault(name, value);
    if (wrong !== null) return wrong;
    this.#names.add(name);
    if (name === 'host') {
      if (this.#host !== null) return 'more than one host';
      this.#host = value;
    } else if (name === 'cookie') {
      if (this.#cookieAt < 0) this.#cookieAt = this.#lines.push('') - 1;
      this.#crumbs.push(value);
    } else this.#lines.push(`${name}: ${value}`);
    return null;
  }

  section(): Section {
    if (this.#cookieAt >= 0) this.#lines[this.#cookieAt] = `cookie: ${this.#crumbs.join('; ')}`;
    return { pseudo: this.#pseudo, names: this.#names, lines: this.#lines, host: this.#host };
  }
}

function fieldFault(name: string, value: string): string | null {
  if (!NAME.test(name)) return 'malformed field name';
  if (!VALUE.test(value) || value !== trimOws(value)) return 'malformed field value';
  if (OF_ONE_CONNECTION.has(name)) return `${name} belongs to HTTP/1.1`;
  return name === 'te' && value.toLowerCase() !== 'trailers' ? 'te other than trailers' : null;
}

/** Method, target and authority by RFC 9113 sections 8.3.1 and 8.5. */
function requestStart(section: Section): { method: string; target: string; authority: string } | Denied {
  const { pseudo, host } = section;
  const method = pseudo.get(':method');
  const scheme = pseudo.get(':scheme');
  const path = pseudo.get(':path');
  if (pseudo.has(':protocol')) return denied('method_refused', 'HTTP/2: extended CONNECT.');
  for (const name of pseudo.keys()) if (!REQUEST_PSEUDO.has(name)) return bad('unknown pseudo-header field');
  if (method === undefined) return bad(':method is missing');
  const authority = pseudo.get(':authority') ?? host;
  if (authority === null) return bad(':authority is missing');
  // RFC 9113 section 8.3.1 lets a server prefer :authority; refused: nobody can know what is meant.
  if (host !== null && host !== authority)
    return denied('host_mismatch', 'HTTP/2: host differs from :authority.');
  if (method === 'CONNECT') {
    return scheme === undefined && path === undefined
      ? { method, target: authority, authority }
      : bad('CONNECT with :scheme or :path');
  }
  if (scheme !== 'https') return bad(':scheme is not https');
  return isPath(path) ? { method, target: path, authority } : bad(':path is missing or no path');
}

/** `*` is for OPTIONS, as in HTTP/1.1. */
function isPath(text: string | undefined): text is string {
  return text !== undefined && (text.startsWith('/') || text === '*');
}

const REQUEST_PSEUDO: ReadonlySet<string> = new Set([':method', ':scheme', ':authority', ':path']);

/** All fields of a checked head: names in lower case, values without the white space around them. */
function eachField(
  head: { readonly text: string; readonly fieldsAt: number },
  tell: (name: string, value: string) => void,
): void {
  if (head.fieldsAt >= head.text.length) return;
  for (const line of head.text.slice(head.fieldsAt + 2).split('\r\n')) {
    const colon = line.indexOf(':');
    tell(line.slice(0, colon).toLowerCase(), trimOws(line.slice(colon + 1)));
  }
}
