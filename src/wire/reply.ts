/**
 * The only place where a Reason becomes bytes (contract section 5): RFC 9457 problem body, RFC 9209
 * Proxy-Status, and a status line that carries the reason, because most clients show nothing else of a
 * refused CONNECT. Host and detail come from attackers: everything leaves as printable ASCII.
 */
import { Buffer } from 'node:buffer';
import { type Denied, REASONS, type Reason } from '../flow/reason.ts';

export type Refusal = {
  readonly denied: Denied;
  readonly requestId: string;
  readonly group: string | null;
  /** authority text for people */
  readonly host: string | null;
  readonly close: boolean;
  /** the request was HEAD: no body bytes */
  readonly headOnly?: boolean | undefined;
};

export type SimpleReply = {
  readonly status: 200 | 404 | 405;
  /** media type */
  readonly type: string;
  readonly body: string | Buffer;
  readonly close: boolean;
  /** the request was HEAD: no body bytes */
  readonly headOnly?: boolean | undefined;
  /** more fields */
  readonly extra?: Readonly<Record<string, string>> | undefined;
};

/** Longest host or detail that is told back. */
const MAX_TOLD_CHARS = 512;
const DEFAULT_RETRY_MS = 1_000;
const SIMPLE_REASON = { 200: 'OK', 404: 'Not Found', 405: 'Method Not Allowed' } as const;
/** RFC 9110 section 15.5.6 wants one with every 405. */
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';
const FIELD_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e]*$/;

/** RFC 9209 section 2.3; what is not here is `http_request_denied`. */
const PROXY_ERRORS: Partial<Record<Reason, string>> = {
  bad_request: 'http_request_error',
  bad_authority: 'http_request_error',
  ambiguous_path: 'http_request_error',
  client_timeout: 'http_request_error',
  header_too_large: 'http_request_error',
  address_not_allowed: 'destination_ip_prohibited',
  dns_failed: 'dns_error',
  dns_timeout: 'dns_timeout',
  connect_failed: 'destination_unavailable',
  connect_timeout: 'connection_timeout',
  upstream_tls: 'tls_certificate_error',
  upstream_bad_response: 'http_protocol_error',
  upstream_timeout: 'http_response_timeout',
  too_many_connections: 'connection_limit_reached',
  secret_unavailable: 'proxy_internal_error',
  audit_unavailable: 'proxy_internal_error',
  not_ready: 'proxy_internal_response',
  overloaded: 'proxy_internal_response',
  draining: 'proxy_internal_response',
};

/** @returns a whole HTTP/1.1 response */
export function refusal(to: Refusal): Buffer {
  const { reason, detail, retryAfterMs, allow } = to.denied;
  const row = REASONS[reason];
  const requestId = to.requestId.replace(/[^\w.-]/g, '');
  const host = to.host === null ? null : shortened(to.host);
  const body = asciiJson({
    type: `urn:sallyport:reason:${reason}`,
    title: row.title,
    status: row.status,
    reason,
    ...(to.group === null ? {} : { group: to.group }),
    ...(host === null ? {} : { host }),
    error: `sallyport: ${reason}${host === null ? '' : `: ${host}`}`,
    detail: detail === undefined ? `${row.title}.` : shortened(detail),
    request_id: requestId,
  });
  const lines = [
    `HTTP/1.1 ${row.status} ${reason} ${requestId}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${body.length}`,
    'Cache-Control: no-store',
    `Proxy-Status: sallyport; error=${PROXY_ERRORS[reason] ?? 'http_request_denied'}; details="${reason}"`,
  ];
  if (!row.retry) lines.push('X-Should-Retry: false');
  if (row.retry || retryAfterMs !== undefined) {
    lines.push(`Retry-After: ${Math.max(1, Math.ceil((retryAfterMs ?? DEFAULT_RETRY_MS) / 1000))}`);
  }
  if (row.status === 407) lines.push('Proxy-Authenticate: Basic realm="sallyport"');
  if (row.status === 405) lines.push(`Allow: ${allow ?? METHODS}`);
  if (to.close) lines.push('Connection: close');
  return assemble(lines, to.headOnly === true ? null : body);
}

/** The answer to a CONNECT that is open. */
export function connectEstablished(): Buffer {
  return Buffer.from('HTTP/1.1 200 Connection Established\r\n\r\n');
}

/** RFC 1928 section 3: the chosen method; 0xff: none is acceptable. */
export function socks5Method(method: 0x00 | 0x02 | 0xff): Buffer {
  return Buffer.from([0x05, method]);
}

/** RFC 1929 section 2. */
export function socks5Login(accepted: boolean): Buffer {
  return Buffer.from([0x01, accepted ? 0x00 : 0x01]);
}

/** RFC 1928 section 6, without the address that we are bound to: it is nobody's business. 0: the connection is open. */
export function socks5Reply(code: number): Buffer {
  return Buffer.from([0x05, code, 0, 1, 0, 0, 0, 0, 0, 0]);
}

/** A refusal in the words of SOCKS5, by what the client waits for. */
export function socks5Refusal(phase: 'greeting' | 'login' | 'request', why: Denied): Buffer {
  if (phase === 'greeting') return socks5Method(0xff);
  return phase === 'login' ? socks5Login(false) : socks5Reply(REASONS[why.reason].socks);
}

/**
 * What the proxy says of itself: `/ca.pem`, `/whoami` and the like.
 * @throws TypeError for a field that would break the head
 */
export function simpleReply(to: SimpleReply): Buffer {
  const body = typeof to.body === 'string' ? Buffer.from(to.body) : to.body;
  const lines = [
    `HTTP/1.1 ${to.status} ${SIMPLE_REASON[to.status]}`,
    `Content-Type: ${to.type}`,
    `Content-Length: ${body.length}`,
    'Cache-Control: no-store',
    ...Object.entries(to.extra ?? {}).map(([name, value]) => `${name}: ${value}`),
    ...(to.close ? ['Connection: close'] : []),
  ];
  if (!lines.slice(1).every((line) => FIELD_LINE.test(line))) throw new TypeError('malformed reply field');
  return assemble(lines, to.headOnly === true ? null : body);
}

function assemble(lines: readonly string[], body: Buffer | null): Buffer {
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  return body === null ? head : Buffer.concat([head, body]);
}

/** JSON whose every byte is printable ASCII: terminals and logs show it as it is. */
function asciiJson(value: unknown): Buffer {
  const text = JSON.stringify(value).replace(
    /[\x7f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return Buffer.from(`${text}\n`, 'latin1');
}

function shortened(text: string): string {
  return text.length <= MAX_TOLD_CHARS ? text : `${text.slice(0, MAX_TOLD_CHARS)}...`;
}

/** RFC 8446 section 6.2 */
const ALERT_ACCESS_DENIED = 49;
const ALERT_INTERNAL_ERROR = 80;
const ALERT_UNRECOGNIZED_NAME = 112;
const FIRST_SERVER_ERROR = 500;

/** A fatal TLS alert in the clear, for a client that began with TLS and has not been answered. */
export function tlsAlert(why: Denied): Buffer {
  const { status } = REASONS[why.reason];
  const refused = why.reason === 'sni_mismatch' ? ALERT_UNRECOGNIZED_NAME : ALERT_ACCESS_DENIED;
  return Buffer.from([0x15, 3, 3, 0, 2, 2, status >= FIRST_SERVER_ERROR ? ALERT_INTERNAL_ERROR : refused]);
}
