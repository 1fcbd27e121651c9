/**
 * Every way in which Sallyport refuses: the closed table of contract section 5. One function turns a
 * Reason into bytes (`wire/reply.ts`), one into a metric label; a test ties this table to README.md.
 */
import type { Ruling } from './approval.ts';

type Row = {
  /** HTTP status code */
  readonly status: number;
  /** SOCKS5 reply code, RFC 1928 section 6 */
  readonly socks: number;
  /** may the same request succeed when it is simply sent again */
  readonly retry: boolean;
  readonly title: string;
};

const row = (status: number, socks: number, retry: boolean, title: string): Row => ({
  status,
  socks,
  retry,
  title,
});

export const REASONS = {
  bad_request: row(400, 1, false, 'Malformed request'),
  bad_authority: row(400, 1, false, 'Malformed host or port'),
  ambiguous_path: row(400, 1, false, 'Ambiguous path'),
  method_refused: row(405, 1, false, 'Method refused'),
  client_timeout: row(408, 1, true, 'Request came too slowly'),
  host_not_allowed: row(403, 2, false, 'Host not allowed'),
  port_not_allowed: row(403, 2, false, 'Port not allowed'),
  method_not_allowed: row(403, 2, false, 'Method not allowed'),
  path_not_allowed: row(403, 2, false, 'Path not allowed'),
  rule_denied: row(403, 2, false, 'Denied by a rule'),
  address_not_allowed: row(403, 2, false, 'Address not allowed'),
  not_tls: row(403, 2, false, 'Not TLS'),
  placeholder_wrong_host: row(403, 2, false, 'Placeholder sent to a host it is not bound to'),
  placeholder_wrong_place: row(403, 2, false, 'Placeholder in a place where it is not swapped'),
  placeholder_unknown: row(403, 2, false, 'Unknown placeholder'),
  secret_leak: row(403, 2, false, 'Request carries a real key'),
  secret_requires_tls: row(403, 2, false, 'Keys are sent inside TLS only'),
  upgrade_refused: row(403, 2, false, 'Upgrade refused'),
  approval_denied: row(403, 2, false, 'Denied by a person'),
  approval_timeout: row(403, 2, true, 'Nobody approved in time'),
  budget_spent: row(403, 2, false, 'Budget spent'),
  auth_required: row(407, 2, false, 'Proxy authentication required'),
  auth_invalid: row(407, 2, false, 'Proxy authentication invalid'),
  body_too_large: row(413, 1, false, 'Body too large'),
  header_too_large: row(431, 1, false, 'Header too large'),
  sni_mismatch: row(421, 2, false, 'TLS server name differs from the target'),
  host_mismatch: row(421, 2, false, 'Host differs from the target'),
  rate_limited: row(429, 1, true, 'Rate limited'),
  too_many_connections: row(429, 1, true, 'Too many connections'),
  dns_failed: row(502, 4, true, 'Name not resolved'),
  connect_failed: row(502, 5, true, 'Connection failed'),
  upstream_tls: row(502, 5, false, 'Upstream TLS not verified'),
  upstream_bad_response: row(502, 1, true, 'Upstream response malformed'),
  response_unscrubbable: row(502, 1, false, 'Response cannot be searched for keys'),
  locked_down: row(503, 1, true, 'Locked down'),
  secret_unavailable: row(503, 1, true, 'Key not available'),
  audit_unavailable: row(503, 1, true, 'Audit record not writable'),
  not_ready: row(503, 1, true, 'Not ready'),
  overloaded: row(503, 1, true, 'Overloaded'),
  draining: row(503, 1, true, 'Shutting down'),
  dns_timeout: row(504, 4, true, 'Name resolution timed out'),
  connect_timeout: row(504, 4, true, 'Connection timed out'),
  upstream_timeout: row(504, 4, true, 'Upstream timed out'),
} as const satisfies Record<string, Row>;

export type Reason = keyof typeof REASONS;

export function isReason(code: string): code is Reason {
  return Object.hasOwn(REASONS, code);
}

/** A refusal as a value. Never holds a key, a resolved address or another group's name. */
export type Denied = {
  readonly kind: 'deny';
  readonly reason: Reason;
  /** the operator's or parser's words for the agent; printable ASCII after escaping */
  readonly detail?: string;
  readonly rule?: RuleRef | undefined;
  /** `Retry-After`, milliseconds */
  readonly retryAfterMs?: number;
  /** the person who refused it */
  readonly ruling?: Ruling;
  /** `Allow` of a 405, where it is not the methods that any request may have */
  readonly allow?: string;
};

/** Where a rule stands, for answers, records and `explain`. */
export type RuleRef = {
  /** file as the operator wrote it, relative to the policies folder's parent */
  readonly file: string;
  /** 1-based */
  readonly line: number;
  /** the rule's first line in words, for example `allow api.openai.com` */
  readonly text: string;
};

export function denied(reason: Reason, detail?: string, rule?: RuleRef): Denied {
  return {
    kind: 'deny',
    reason,
    ...(detail === undefined ? {} : { detail }),
    ...(rule === undefined ? {} : { rule }),
  };
}

/** Is it a refusal, of what may as well be the thing that was asked for? */
export function isDenied(value: object): value is Denied {
  return 'kind' in value && value.kind === 'deny';
}
