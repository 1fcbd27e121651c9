/**
 * Permit in, socket out: resolve, judge every address, connect by a judged one, and for TLS verify.
 * The only way to an upstream (I1), and one test for literals and names alike (I2). Called by the
 * tunnel directly and by `pool.ts` for requests. Every end is a value; nothing here rejects but for a
 * bug or a system that does not tell its own addresses.
 */
import type { OnReadOpts, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import { type Authority, authorityText } from '../flow/target.ts';
import { judgeAddress, type OwnAddresses } from '../policy/address.ts';
import { type ConnectAsk, type ConnectFailure, type ConnectOutcome, connectFirst } from './happy-eyeballs.ts';
import type { Answers, Resolver } from './resolve.ts';
import { handshake, upstreamContext } from './tls.ts';

export type DialLimits = {
  /** from the first attempt to a TCP connection, milliseconds */
  readonly connectMs: number;
  /** head start of one address over the next, milliseconds */
  readonly staggerMs: number;
  /** TLS handshake, milliseconds */
  readonly handshakeMs: number;
};

export type ConnectResult = 'ok' | 'refused' | 'timeout' | 'tls' | 'error';

type TcpOptions = {
  /** what `vet` gave for this permit: then it is not resolved and judged a second time */
  readonly addresses?: readonly string[];
  readonly onread?: OnReadOpts;
  readonly signal?: AbortSignal;
  readonly allowHalfOpen?: boolean;
};

/** What to offer by ALPN, and what next where the peer speaks none of it. */
export type AlpnOffers = readonly (readonly string[])[];

type TlsOptions = {
  readonly protocols?: AlpnOffers;
  readonly signal?: AbortSignal;
  /** told by `onSession` for the same target; any other is ignored */
  readonly session?: Buffer;
  readonly onSession?: (session: Buffer) => void;
};

export type Dialer = {
  /** The judged addresses, or `dns_failed`, `dns_timeout`, `overloaded`, `address_not_allowed`. Connects nothing. */
  readonly vet: (permit: Permit, signal?: AbortSignal) => Promise<readonly string[] | Denied>;
  /** The same at once for literals and for names whose answer is at hand; null: it has to be asked for. */
  readonly vetNow: (permit: Permit) => readonly string[] | Denied | null;
  /** A connected socket, or a reason of `vet`, `connect_failed`, `connect_timeout`. */
  readonly tcp: (permit: Permit, opts: TcpOptions) => Promise<Socket | Denied>;
  /** A verified TLS socket, or a reason of `tcp`, `upstream_tls`. */
  readonly tls: (permit: Permit, opts: TlsOptions) => Promise<TLSSocket | Denied>;
};

const HTTP1: readonly string[] = ['http/1.1'];
const DIAL_LIMITS: DialLimits = { connectMs: 10_000, staggerMs: 250, handshakeMs: 10_000 };

export type DialerOptions = {
  readonly resolver: Resolver;
  readonly own: () => OwnAddresses;
  /** PEM texts to trust, and nobody else */
  readonly tls: { readonly ca: readonly string[] };
  readonly onConnect?: (outcome: ConnectResult) => void;
  /** connects otherwise than by TCP: through a parent proxy */
  readonly through?: ((ask: ConnectAsk) => Promise<ConnectOutcome>) | undefined;
  readonly limits?: Partial<DialLimits>;
};

/**
 * A dialer over one resolver and one set of roots. `onConnect` hears once per attempt to get a
 * connection; lookups, refused addresses and clients that left are no attempts.
 */
export function createDialer(opts: DialerOptions): Dialer {
  const limits = { ...DIAL_LIMITS, ...opts.limits };
  const context = upstreamContext(opts.tls.ca);
  const connectBy = opts.through ?? connectFirst;
  const sessions = createSessionBook();
  const judgements = new Judgements(opts.own);
  const judgedFor = new WeakMap<readonly string[], Permit>();
  const told = (outcome: ConnectResult): void => opts.onConnect?.(outcome);

  const judgeAll = (permit: Permit, addresses: readonly string[]): readonly string[] | Denied => {
    const judged = judge(permit, addresses, judgements);
    if (isAddresses(judged)) judgedFor.set(judged, permit);
    return judged;
  };
  const vetNow: Dialer['vetNow'] = (permit) => {
    const { target } = permit;
    const known = target.kind === 'name' ? opts.resolver.peek(target.host) : [target.host];
    return known === null ? null : judgeAll(permit, known);
  };
  const vet: Dialer['vet'] = async (permit, signal) => {
    const { target } = permit;
    if (target.kind !== 'name') return judgeAll(permit, [target.host]);
    const found: Answers | Denied = await opts.resolver.resolve(target.host, signal, permit.identity.group);
    return found.kind === 'deny' ? found : judgeAll(permit, found.addresses);
  };
  const connect = async (permit: Permit, ask: TcpOptions): Promise<Socket | Denied> => {
    // A list is taken as judged only when `vet` itself made it for this very permit (I2).
    const given = ask.addresses !== undefined && judgedFor.get(ask.addresses) === permit;
    const addresses = given && ask.addresses !== undefined ? ask.addresses : await vet(permit, ask.signal);
    if (!isAddresses(addresses)) return addresses;
    const outcome = await connectBy({ ...ask, addresses, ...boundsOf(permit, limits) });
    if (outcome.kind === 'connected') return outcome.socket;
    if (outcome.why !== 'aborted') told(outcome.why === 'elsewhere' ? 'error' : outcome.why);
    return unconnected(outcome.why, permit, outcome.detail);
  };

  return {
    vet,
    vetNow,
    async tcp(permit, ask) {
      const socket = await connect(permit, ask);
      if (!isSocket(socket)) return socket;
      told('ok');
      return unlessLeft(socket, permit, ask.signal);
    },
    async tls(permit, ask) {
      const [protocols = HTTP1, ...otherwise] = ask.protocols ?? [];
      const raw = await connect(permit, ask.signal === undefined ? {} : { signal: ask.signal });
      if (!isSocket(raw)) return raw;
      const outcome = await handshake(raw, {
        at: permit.target,
        context,
        protocols,
        limitMs: limits.handshakeMs,
        signal: ask.signal,
        ...sessions.of(permit.target, ask),
      });
      if (outcome.kind === 'verified') {
        told('ok');
        return unlessLeft(outcome.socket, permit, ask.signal);
      }
      if (outcome.why === 'tls' && outcome.alpn && otherwise.length > 0) {
        return this.tls(permit, { ...ask, protocols: otherwise });
      }
      if (outcome.why !== 'aborted') told(outcome.why);
      return outcome.why === 'tls'
        ? denied('upstream_tls', outcome.detail)
        : unconnected(outcome.why, permit);
    },
  };
}

function boundsOf({ target, identity }: Permit, { connectMs, staggerMs }: DialLimits) {
  return { port: target.port, group: identity.group, staggerMs, limitMs: connectMs };
}

/**
 * Which target each TLS session was verified for. Resumption skips the certificate, so a session in the
 * wrong hands would stand in for the name check; the callers' own keys are not trusted with that.
 */
function createSessionBook() {
  const verifiedFor = new WeakMap<Buffer, string>();
  return {
    /** What of `ask` may be used for a handshake with `at`. */
    of: (at: Authority, ask: TlsOptions) => {
      const { session } = ask;
      const own = session !== undefined && verifiedFor.get(session) === authorityText(at);
      const onSession = (fresh: Buffer): void => {
        verifiedFor.set(fresh, authorityText(at));
        ask.onSession?.(fresh);
      };
      return { session: own ? session : undefined, onSession };
    },
  };
}

/** The last look before a socket is handed out: the client may have gone while it was made. */
function unlessLeft<T extends Socket>(
  socket: T,
  permit: Permit,
  signal: AbortSignal | undefined,
): T | Denied {
  if (signal?.aborted !== true) return socket;
  socket.destroy();
  return unconnected('aborted', permit);
}

function unconnected(why: ConnectFailure, permit: Permit, detail = ''): Denied {
  if (detail !== '') return denied(why === 'timeout' ? 'connect_timeout' : 'connect_failed', detail);
  const at = authorityText(permit.target);
  switch (why) {
    case 'timeout':
      return denied('connect_timeout', `${at} did not answer in time.`);
    case 'refused':
      return denied('connect_failed', `${at} refused the connection.`);
    case 'error':
    case 'elsewhere':
    case 'aborted':
      return denied('connect_failed', `${at} could not be reached.`);
  }
}

/** Every address or none: one bad answer refuses the name. The refusal does not say which (contract 5). */
function judge(
  permit: Permit,
  addresses: readonly string[],
  judgements: Judgements,
): readonly string[] | Denied {
  const allowed = permit.verdict.addresses;
  const { host, port } = permit.target;
  const good = (address: string): boolean => judgements.of({ address, port, allowed }) === 'ok';
  if (addresses.length > 0 && addresses.every(good)) return [...addresses];
  const detail = `${host} leads to an address that may not be reached from here.`;
  return denied('address_not_allowed', detail, permit.verdict.rule);
}

/** Verdicts remembered for as long as the proxy's own addresses are the same; beyond the cap they start anew. */
const MAX_JUDGEMENTS = 4_096;

/** Judging one address costs as much as parsing a request, and a sandbox dials the same few again and again. */
class Judgements {
  readonly #own: () => OwnAddresses;
  #ownThen: OwnAddresses | null = null;
  #byRanges = new Map<readonly string[], Map<string, 'ok' | 'blocked'>>();
  #count = 0;

  constructor(own: () => OwnAddresses) {
    this.#own = own;
  }

  of(ask: { address: string; port: number; allowed: readonly string[] }): 'ok' | 'blocked' {
    const own = this.#own();
    if (own !== this.#ownThen || this.#count >= MAX_JUDGEMENTS) {
      this.#byRanges = new Map();
      this.#ownThen = own;
      this.#count = 0;
    }
    const known = this.#byRanges.get(ask.allowed) ?? new Map<string, 'ok' | 'blocked'>();
    const key = `${ask.port} ${ask.address}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const verdict = judgeAddress({ ...ask, own });
    known.set(key, verdict);
    this.#byRanges.set(ask.allowed, known);
    this.#count += 1;
    return verdict;
  }
}

function isAddresses(found: readonly string[] | Denied): found is readonly string[] {
  return Array.isArray(found);
}

function isSocket(found: Socket | Denied): found is Socket {
  return !('reason' in found);
}
