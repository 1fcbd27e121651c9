/**
 * Who may talk to the admin side: the Host must name this listener (DNS rebinding), a browser's Origin must
 * be this listener's own (CSRF), and the API needs a bearer token, compared in constant time. Failed
 * tokens are answered 429 after a few per address and minute, and after more of all addresses together; a right token
 * always passes, so that nobody who shares an address can lock the operators out. Used by `server.ts`.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { Failures } from '../base/failures.ts';
import type { Operator } from '../base/operator.ts';
import type { AdminProblem } from './problem.ts';

export const MAX_FAILURES = 10;
export const FAILURE_WINDOW_MS = 60_000;
/** Of all addresses together, each minute: many addresses buy no more tries. */
export const MAX_FAILURES_IN_ALL = 100;
/** No address. */
const EVERYWHERE = '*';
const MAX_ADDRESSES = 1000;
/** Shorter tokens could be guessed. */
const MIN_TOKEN_CHARS = 16;

/** What of a request the checks look at. */
export type Caller = {
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly fetchSite: string | undefined;
  readonly authorization: string | undefined;
  /** the client's address */
  readonly remote: string;
  /** the address it connected to */
  readonly local: string | undefined;
};

export type AuthOptions = {
  /** of the built-in admin */
  readonly token: string;
  /** whose token is it; null: nobody's */
  readonly verify: (token: string) => Operator | null;
  readonly listenHost: string;
  /** further names that Host may carry, for example behind a reverse proxy */
  readonly names: readonly string[];
  readonly clock: Clock;
};

export type Auth = {
  /** Is Host one of ours, and does a browser's request come from our own page; null: fine. */
  checkOrigin(caller: Caller): AdminProblem | null;
  /** Whose token does the request carry. */
  checkToken(caller: Caller): Operator | AdminProblem;
};

/** Throws when the token is too short to be one that we made. */
export function createAuth(opts: AuthOptions): Auth {
  if (opts.token.length < MIN_TOKEN_CHARS) throw new Error('the admin token is too short');
  const expected = digest(opts.token);
  const known = new Set([
    'localhost',
    '127.0.0.1',
    '::1',
    ...[opts.listenHost, ...opts.names].map(plainHost),
  ]);
  const failures = new Failures({ clock: opts.clock, windowMs: FAILURE_WINDOW_MS, max: MAX_ADDRESSES });
  return {
    checkOrigin(caller) {
      const host = hostName(caller.host);
      // An address cannot be rebound: the one that was connected to is always right.
      if (host === null || !(known.has(host) || host === plainHost(caller.local ?? ''))) {
        return { status: 421, code: 'host_unknown', detail: 'This listener is not known by that Host.' };
      }
      return foreignPage(caller) ? FOREIGN_PAGE : null;
    },
    checkToken(caller) {
      const [scheme = '', token = ''] = (caller.authorization ?? '').split(' ', 2);
      if (caller.authorization === undefined) return TOKEN_NEEDED;
      const builtIn = timingSafeEqual(digest(token), expected) ? BUILT_IN : null;
      const who = builtIn ?? opts.verify(token);
      if (who !== null && scheme.toLowerCase() === 'bearer') return who;
      const here = failures.add(caller.remote);
      const all = failures.add(EVERYWHERE);
      return here > MAX_FAILURES || all > MAX_FAILURES_IN_ALL ? TOO_MANY : TOKEN_WRONG;
    },
  };
}

/** The operator of `admin.token`. */
const BUILT_IN: Operator = { name: 'admin', role: 'admin' };
const FOREIGN_PAGE: AdminProblem = {
  status: 403,
  code: 'origin_refused',
  detail: 'Requests from other pages are refused.',
};
const TOKEN_NEEDED: AdminProblem = {
  status: 401,
  code: 'token_required',
  detail: 'Send your token as Authorization: Bearer.',
};
const TOKEN_WRONG: AdminProblem = {
  status: 401,
  code: 'token_invalid',
  detail: 'The token is wrong, or was revoked.',
};
const TOO_MANY: AdminProblem = {
  status: 429,
  code: 'too_many_failures',
  detail: 'Too many wrong tokens.',
};

function foreignPage(caller: Caller): boolean {
  if (caller.fetchSite === 'cross-site' || caller.fetchSite === 'same-site') return true;
  if (caller.origin === undefined) return false;
  const own = caller.host?.toLowerCase();
  const origin = caller.origin.toLowerCase();
  return origin !== `http://${own}` && origin !== `https://${own}`;
}

/** Digests have one length, which `timingSafeEqual` needs, and tell nothing of the token's. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** The name of a Host field without its port, lower-case; null: missing or malformed. */
function hostName(field: string | undefined): string | null {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/.exec(field ?? '');
  return parts?.[1] === undefined ? null : plainHost(parts[1]);
}

/** Lower-case, without IPv6 brackets, trailing dot or the IPv4-mapped prefix of a dual-stack socket. */
function plainHost(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/^::ffff:(?=[\d.]+$)/, '')
    .replace(/\.$/, '');
}
