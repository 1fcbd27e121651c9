/**
 * HTTP/1 heads into facts (RFC 9112, RFC 9110). Called by the readers with the latin-1 text of a head
 * without its final empty line, then by `accept/` and `intercept/` for target and Host.
 *
 * Stricter than the RFC wherever it lets a recipient repair a message: smuggling lives in such repairs.
 * One regular expression checks every byte, a second finds the few fields that matter to a proxy; the
 * rest of the head is never looked at and goes out as it came (`http1-write.ts`).
 */
import { type Denied, denied } from '../flow/reason.ts';
import { type Authority, authorityText } from '../flow/target.ts';
import { isAuthority, parseAuthority } from './authority.ts';
import { trimOws } from './hop.ts';
import {
  exceeds,
  type Field,
  HEAD_BOUNDS,
  HEAD_LIMITS,
  type HeadFacts,
  type HeadLimits,
  type RequestFraming,
  readFields,
} from './http1-fields.ts';

export type { Field, RequestFraming } from './http1-fields.ts';

export type RequestHead = {
  readonly method: string;
  /** request-target as sent, 0x21 to 0x7E */
  readonly target: string;
  readonly minor: 0 | 1;
  /** validated head, latin-1, without the final CRLFCRLF */
  readonly text: string;
  /** offset of the first field's CRLF, or the text's length */
  readonly fieldsAt: number;
  readonly special: readonly Field[];
  readonly framing: RequestFraming;
  /** value of Host as sent */
  readonly host: string | null;
  /** may the client connection carry another request */
  readonly keepAlive: boolean;
  readonly expectContinue: boolean;
  /** lower-case protocol that the client wants to switch to */
  readonly upgrade: string | null;
  /** lower-case names that `Connection` lists beside the fixed hop-by-hop ones */
  readonly nominated: readonly string[];
};

export type RequestTarget =
  | { readonly form: 'authority'; readonly authority: Authority }
  | {
      readonly form: 'absolute';
      readonly scheme: 'http' | 'https';
      readonly authority: Authority;
      readonly path: string;
    }
  | { readonly form: 'origin'; readonly path: string }
  | { readonly form: 'asterisk' };

/** `eof`: the body ends with the connection. */
export type ResponseFraming = RequestFraming | { readonly kind: 'eof' };

export type ResponseHead = {
  readonly status: number;
  readonly minor: 0 | 1;
  /** validated head, latin-1, without the final CRLFCRLF */
  readonly text: string;
  /** offset of the first field's CRLF, or the text's length */
  readonly fieldsAt: number;
  readonly special: readonly Field[];
  readonly framing: ResponseFraming;
  /** may the upstream connection carry another request */
  readonly keepAlive: boolean;
  /** lower-case names that `Connection` lists beside the fixed hop-by-hop ones */
  readonly nominated: readonly string[];
};

const REQUEST_HEAD =
  /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP\/1\.[01](?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*)*$/;
const RESPONSE_HEAD =
  /^HTTP\/1\.[01] [1-5][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*)*$/;
const DIGIT_ONE = 0x31;
const ABSOLUTE = /^(https?):\/\/([^/?]*)(.*)$/i;
/** Methods that a server may answer with the request itself, keys included (RFC 9110 section 9.3.8). */
const ECHO_METHOD = /^(?:trace|track)$/i;

/** The registry's longest method has 17 characters; method names go into records and answers. */
const MAX_METHOD_CHARS = 64;

/** RFC 9113 section 3.4: how a client begins that did not ask first. */
const H2_PREFACE = 'PRI * HTTP/2.0';
const NO_H2 =
  'HTTP/2 without ALPN: it is spoken inside TLS with hosts that are intercepted, where both sides agree on h2';
const NONE: RequestFraming = { kind: 'none' };
const EOF: ResponseFraming = { kind: 'eof' };
const bad = (detail: string): Denied => denied('bad_request', detail);
const badResponse = (detail: string): Denied => denied('upstream_bad_response', detail);

/**
 * @param text latin-1 head without the final CRLFCRLF
 * @returns the head, `bad_request`, or `header_too_large`
 */
export function parseRequestHead(text: string, limits: HeadLimits = HEAD_LIMITS): RequestHead | Denied {
  if (!REQUEST_HEAD.test(text)) return bad(text.startsWith(H2_PREFACE) ? NO_H2 : 'malformed request head');
  const method = text.slice(0, text.indexOf(' '));
  const target = text.slice(method.length + 1, text.indexOf(' ', method.length + 1));
  const fieldsAt = method.length + target.length + 10;
  const minor = text.charCodeAt(fieldsAt - 1) === DIGIT_ONE ? 1 : 0;
  if (method.length > MAX_METHOD_CHARS) return bad('method is too long');
  if (exceeds(text, fieldsAt, limits)) return denied('header_too_large', HEAD_BOUNDS);
  const facts = readFields(text, fieldsAt, minor);
  if (typeof facts === 'string') return bad(facts);
  const framing = facts.framing ?? NONE;
  const complaint = contradiction(method, minor, framing, facts);
  if (complaint !== null) return bad(complaint);
  return {
    method,
    target,
    minor,
    text,
    fieldsAt,
    special: facts.special,
    framing,
    host: facts.host,
    // RFC 9112 section 9.3: a proxy does not keep the connection of an HTTP/1.0 client.
    keepAlive: minor === 1 && !facts.connection.close,
    expectContinue: minor === 1 && facts.expect !== null && hasBody(framing),
    upgrade: minor === 1 && facts.connection.upgrade ? (facts.upgrade?.toLowerCase() ?? null) : null,
    nominated: facts.connection.nominated,
  };
}

/** What is well-formed line by line, but must not be in one request. */
function contradiction(
  method: string,
  minor: 0 | 1,
  framing: RequestFraming,
  facts: HeadFacts,
): string | null {
  // RFC 9112 section 3.2.
  if (facts.host === null && minor === 1) return 'Host is missing';
  // RFC 9110 section 10.1.1 knows one expectation.
  if (facts.expect !== null && facts.expect.toLowerCase() !== '100-continue') return 'unknown Expect';
  if (method === 'CONNECT' && (framing.kind === 'chunked' || hasBody(framing))) return 'CONNECT with a body';
  // The body would stand between the two protocols (RFC 9931): nobody sends one with a WebSocket.
  if (facts.upgrade !== null && hasBody(framing)) return 'Upgrade with a body';
  return null;
}

function hasBody(framing: RequestFraming): boolean {
  return framing.kind === 'chunked' || (framing.kind === 'length' && framing.length > 0);
}

/**
 * Which of the four forms of RFC 9112 section 3.2 the target has. CONNECT takes authority-form with a
 * port and nothing else does; userinfo, fragments and other schemes are refused.
 * @returns the target, `bad_request`, `bad_authority`, or `method_refused` for TRACE
 */
export function parseRequestTarget(head: RequestHead): RequestTarget | Denied {
  const { method, target } = head;
  if (ECHO_METHOD.test(method)) return denied('method_refused', `${method} is never passed on.`);
  if (method === 'CONNECT') {
    const authority = parseAuthority(target);
    return isAuthority(authority) ? { form: 'authority', authority } : authority;
  }
  if (target.includes('#')) return bad('fragment in the request target');
  if (target.startsWith('/')) return { form: 'origin', path: target };
  if (target === '*') {
    return method === 'OPTIONS' ? { form: 'asterisk' } : bad('asterisk-form is for OPTIONS');
  }
  const [, schemeText, authorityText, rest] = ABSOLUTE.exec(target) ?? [];
  if (schemeText === undefined || authorityText === undefined || rest === undefined) {
    return bad('unknown form of request target');
  }
  const scheme = schemeText.toLowerCase() === 'https' ? 'https' : 'http';
  const authority = parseAuthority(authorityText, scheme === 'https' ? 443 : 80);
  if (!isAuthority(authority)) return authority;
  return { form: 'absolute', scheme, authority, path: originForm(method, rest) };
}

/** RFC 9112 sections 3.2.1 and 3.2.4: what stands for an empty path. */
function originForm(method: string, rest: string): string {
  if (rest === '') return method === 'OPTIONS' ? '*' : '/';
  return rest.startsWith('?') ? `/${rest}` : rest;
}

/**
 * The Host of a request against the target that policy judged. RFC 9112 section 3.2 would have a proxy
 * overwrite a differing Host; refused instead, because the client means something that we cannot know.
 * @param defaultPort what a Host without a port means: 443 inside TLS, else 80
 * @returns null when they agree; `bad_request`, `host_mismatch`
 */
export function checkHost(head: RequestHead, at: Authority, defaultPort: number): Denied | null {
  if (head.host === null) return head.minor === 0 ? null : bad('Host is missing');
  if (head.host === at.host && at.port === defaultPort && at.kind !== 'ipv6') return null;
  if (head.host === authorityText(at)) return null;
  const host = parseAuthority(head.host, defaultPort);
  if (!isAuthority(host)) return bad('malformed Host');
  if (host.host === at.host && host.port === at.port) return null;
  return denied('host_mismatch', `The Host field names another host or port than ${authorityText(at)}.`);
}

/**
 * The first field of that name among all fields; not for the hot path.
 * @param name lower-case
 */
export function fieldValue(
  head: { readonly text: string; readonly fieldsAt: number },
  name: string,
): string | null {
  for (const line of head.text.slice(head.fieldsAt).split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon === name.length && line.slice(0, colon).toLowerCase() === name) {
      return trimOws(line.slice(colon + 1));
    }
  }
  return null;
}

/**
 * @param text latin-1 head without the final CRLFCRLF
 * @param requestMethod decides whether a body follows (RFC 9112 section 6.3)
 * @returns the head, or `upstream_bad_response`
 */
export function parseResponseHead(
  text: string,
  requestMethod: string,
  limits: HeadLimits = HEAD_LIMITS,
): ResponseHead | Denied {
  if (!RESPONSE_HEAD.test(text)) return badResponse('malformed response head');
  const status = Number(text.slice(9, 12));
  // From an origin it would make the client send its proxy token there (RFC 9110 section 15.5.8).
  if (status === 407) return badResponse('407 from an origin');
  const minor = text.charCodeAt(7) === DIGIT_ONE ? 1 : 0;
  const lineEnd = text.indexOf('\r\n');
  const fieldsAt = lineEnd < 0 ? text.length : lineEnd;
  if (exceeds(text, fieldsAt, limits)) return badResponse('response head is too large');
  const facts = readFields(text, fieldsAt, minor);
  if (typeof facts === 'string') return badResponse(facts);
  const framing = responseFraming(status, requestMethod, facts.framing);
  if (framing === null) return badResponse('response that must not have a body is framed as one');
  return {
    status,
    minor,
    text,
    fieldsAt,
    special: facts.special,
    framing,
    keepAlive:
      minor === 1 &&
      !facts.connection.close &&
      framing.kind !== 'eof' &&
      !announcesBody(status, facts.framing),
    nominated: facts.connection.nominated,
  };
}

/** RFC 9112 section 6.3; null where a Transfer-Encoding stands in a 1xx or 204 (section 6.1: MUST NOT). */
function responseFraming(
  status: number,
  requestMethod: string,
  framing: RequestFraming | null,
): ResponseFraming | null {
  const interim = status < 200;
  if (interim || status === 204) {
    const mayBe = framing === null || (framing.kind === 'length' && (framing.length === 0 || !interim));
    return mayBe ? NONE : null;
  }
  const tunnel = requestMethod === 'CONNECT' && status < 300;
  if (tunnel || status === 304 || requestMethod === 'HEAD') return NONE;
  return framing ?? EOF;
}

/** A 204 with a length: its server may well send those bytes, so nothing is to follow them. */
function announcesBody(status: number, framing: RequestFraming | null): boolean {
  return status === 204 && framing?.kind === 'length' && framing.length > 0;
}
