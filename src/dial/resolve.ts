/**
 * The resolver: complete names to addresses, asked of the configured name servers alone, so that
 * neither the hosts file nor a search domain nor nsswitch can add an answer. Called by `connect.ts`
 * and, for `peek`, by whoever wants to know without waiting. It judges nothing: `connect.ts` puts
 * every answer before the address guard (I2). Fixed answers (`dns.hosts`) are judged there as well.
 */
import { isIP } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Host } from '../flow/target.ts';
import { parseAddress } from '../wire/authority.ts';
import { type QueryLimits, type QueryOutcome, query } from './dns-query.ts';
import { parseNameServer, systemNameServers } from './dns-servers.ts';

export type Answers = { readonly kind: 'answers'; readonly addresses: readonly string[] };
export type LookupOutcome = 'ok' | 'cached' | 'nxdomain' | 'error' | 'timeout';

export type Resolver = {
  /**
   * Never rejects. `dns_failed` or `dns_timeout` when there is no answer, or `signal` fired; `overloaded` when too many
   * names are being resolved, in all or for `group`.
   */
  resolve(host: Host, signal?: AbortSignal, group?: string): Promise<Answers | Denied>;
  /** Literal, fixed or cached addresses without waiting; null when it would have to ask. */
  peek(host: Host): readonly string[] | null;
  close(): void;
};

export type ResolverOptions = {
  /** `10.0.0.2`, `127.0.0.1:5300`, `[::1]:53`; empty means the system's */
  readonly servers: readonly string[];
  readonly hosts: Readonly<Record<string, readonly string[]>>;
  readonly clock: Clock;
  readonly onLookup?: (outcome: LookupOutcome) => void;
  readonly resolvConf?: string;
  readonly limits?: Partial<QueryLimits>;
  /** places for lookups under way, with a part of them for each group; default: places for all alike */
  readonly places?: Places;
};

export type Places = { take(group: string): boolean; give(group: string): void };

const QUERY_LIMITS: QueryLimits = { tryMs: 2_000, totalMs: 5_000 };
const MAX_CACHED_NAMES = 4_096;
/** Of each resolver, however many places there are. */
const MAX_OUTSTANDING = 256;
const MIN_TTL_S = 1;
const MAX_TTL_S = 300;
const NEGATIVE_TTL_S = 5;
/** RFC 9520 section 3.2: a failure is remembered at least a second, so that retries do not pile up. */
const FAILURE_TTL_S = 1;
/** how long AAAA may lag behind a usable A answer; the half answer is then kept for a short time only */
const FAMILY_GRACE_MS = 500;

type Entry = {
  readonly answer: Answers | Denied;
  readonly outcome: LookupOutcome;
  readonly ttlS: number;
};
type Flight = { readonly answer: Promise<Answers | Denied>; readonly abort: AbortController };

/**
 * A resolver with its own cache. Throws with a code on a malformed server or fixed address: settings
 * are checked at load, so this is a bug or a bad start, never a request's doing.
 */
export function createResolver(opts: ResolverOptions): Resolver {
  const configured = opts.servers.map(parseNameServer);
  const servers =
    configured.length > 0
      ? () => configured
      : systemNameServers(opts.resolvConf ?? '/etc/resolv.conf', opts.clock);
  const fixed = fixedAnswers(opts.hosts);
  const limits = { ...QUERY_LIMITS, ...opts.limits };
  const cache = new LRUCache<string, { answer: Answers | Denied; until: number }>({ max: MAX_CACHED_NAMES });
  const flights = new Map<string, Flight>();
  let closed = false;

  const cached = (host: Host): Answers | Denied | null => {
    const hit = cache.get(host);
    return hit !== undefined && hit.until > opts.clock.mono() ? hit.answer : null;
  };
  const known = (host: Host): Answers | null => {
    if (isIP(host) !== 0) return { kind: 'answers', addresses: [host] };
    return fixed.get(host) ?? null;
  };
  const land = (host: Host, entry: Entry): Answers | Denied => {
    flights.delete(host);
    if (closed) return denied('dns_failed');
    cache.set(host, { answer: entry.answer, until: opts.clock.mono() + entry.ttlS * 1_000 });
    opts.onLookup?.(entry.outcome);
    return entry.answer;
  };
  const launch = (host: Host, group: string): Flight => {
    const abort = new AbortController();
    const ask = { host, servers: servers(), limits, signal: abort.signal };
    const answer = lookUp(ask).then((entry) => {
      abort.abort();
      opts.places?.give(group);
      return land(host, entry);
    });
    const flight = { answer, abort };
    flights.set(host, flight);
    return flight;
  };

  return {
    async resolve(host, signal, group = '') {
      if (closed || signal?.aborted === true) return denied('dns_failed');
      const at = known(host);
      if (at !== null) return at.addresses.length > 0 ? at : noSuchName(host);
      const hit = cached(host);
      if (hit !== null) {
        opts.onLookup?.('cached');
        return hit;
      }
      const flight = flights.get(host);
      if (flight !== undefined) return withSignal(flight.answer, signal);
      if (flights.size >= MAX_OUTSTANDING || opts.places?.take(group) === false) {
        opts.onLookup?.('error');
        return denied('overloaded', 'Too many names are being resolved at this moment.');
      }
      return withSignal(launch(host, group).answer, signal);
    },
    peek(host) {
      const at = known(host) ?? cached(host);
      return at !== null && at.kind === 'answers' && at.addresses.length > 0 ? at.addresses : null;
    },
    close() {
      closed = true;
      for (const flight of flights.values()) flight.abort.abort();
      cache.clear();
    },
  };
}

type Ask = {
  readonly host: Host;
  readonly servers: Parameters<typeof query>[0];
  readonly limits: QueryLimits;
  readonly signal: AbortSignal;
};

/** A and AAAA at the same time, then one entry out of both. */
async function lookUp(ask: Ask): Promise<Entry> {
  const v4 = query(ask.servers, { name: ask.host, type: 'A' }, ask);
  const v6 = query(ask.servers, { name: ask.host, type: 'AAAA' }, ask);
  const a = await v4;
  if (a.kind === 'none' && a.nxdomain) return merge(ask.host, a, a);
  return merge(ask.host, a, a.kind === 'addresses' ? await atMost(FAMILY_GRACE_MS, v6) : await v6);
}

function merge(host: Host, a: QueryOutcome, aaaa: QueryOutcome): Entry {
  const both = [aaaa, a];
  const found = both.filter((one) => one.kind === 'addresses');
  if (found.length > 0) {
    const addresses = [...new Set(found.flatMap((one) => one.addresses))];
    const half = both.some((one) => one.kind === 'timeout' || one.kind === 'failed');
    const ttlS = Math.min(half ? NEGATIVE_TTL_S : MAX_TTL_S, ...found.map((one) => one.ttlS));
    return { answer: { kind: 'answers', addresses }, outcome: 'ok', ttlS: Math.max(MIN_TTL_S, ttlS) };
  }
  const nxdomain = both.some((one) => one.kind === 'none' && one.nxdomain);
  if (nxdomain || both.every((one) => one.kind === 'none')) {
    return { answer: noSuchName(host), outcome: 'nxdomain', ttlS: NEGATIVE_TTL_S };
  }
  if (both.some((one) => one.kind === 'timeout')) {
    const answer = denied('dns_timeout', `No name server answered for ${host} in time.`);
    return { answer, outcome: 'timeout', ttlS: FAILURE_TTL_S };
  }
  const answer = denied('dns_failed', `No name server could answer for ${host}.`);
  return { answer, outcome: 'error', ttlS: FAILURE_TTL_S };
}

function noSuchName(host: Host): Denied {
  return denied('dns_failed', `The name ${host} has no address.`);
}

function fixedAnswers(hosts: Readonly<Record<string, readonly string[]>>): ReadonlyMap<string, Answers> {
  const fixed = new Map<string, Answers>();
  for (const [name, texts] of Object.entries(hosts)) {
    const addresses = texts.map((text) => {
      const address = parseAddress(text);
      if (address !== null) return address.host;
      const error = new Error(`dns.hosts: ${JSON.stringify(text)} of ${JSON.stringify(name)} is no address`);
      throw Object.assign(error, { code: 'ERR_DNS_HOSTS' });
    });
    fixed.set(name.toLowerCase().replace(/\.$/, ''), { kind: 'answers', addresses });
  }
  return fixed;
}

function atMost(ms: number, outcome: Promise<QueryOutcome>): Promise<QueryOutcome> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve({ kind: 'timeout' }), ms);
    void outcome.then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

/** The shared lookup goes on for others when one asker leaves. */
function withSignal(
  answer: Promise<Answers | Denied>,
  signal: AbortSignal | undefined,
): Promise<Answers | Denied> {
  if (signal === undefined) return answer;
  return new Promise((resolve) => {
    const leave = (): void => resolve(denied('dns_failed'));
    signal.addEventListener('abort', leave, { once: true });
    void answer.then((value) => {
      signal.removeEventListener('abort', leave);
      resolve(value);
    });
  });
}
