/**
 * Permit in, socket out: resolve, judge every address, connect by a judged one, and for TLS verify.
 * The only way to an upstream (I1), and one test for literals and names alike (I2). Called by the
 * tunnel directly and by `pool.ts` for requests. Every end is a value; nothing here rejects but for a
 * bug or a system that does not tell its own addresses.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { OpenTcp, Vet, VetNow } from '../base/upstream.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import { type Authority, authorityText } from '../flow/target.ts';
import type { OwnAddresses } from '../policy/address-guard.ts';
import { Deadlines } from './deadlines.ts';
import {
  type ConnectAsk,
  type ConnectFailure,
  type ConnectOutcome,
  connectFirst,
  connectWith,
} from './happy-eyeballs.ts';
import type { Resolver } from './resolve.ts';
import { handshake, upstreamContext } from './tls.ts';
import { addressesOf, createVetting } from './vet.ts';

export type DialLimits = {
  /** from the first attempt to a TCP connection, milliseconds */
  readonly connectMs: number;
  /** head start of one address over the next, milliseconds */
  readonly staggerMs: number;
  /** TLS handshake, milliseconds */
  readonly handshakeMs: number;
};

export type ConnectResult = 'ok' | 'refused' | 'timeout' | 'tls' | 'error';

type TcpOptions = { readonly signal?: AbortSignal };

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
  readonly vet: Vet;
  /** The same at once for literals and for names whose answer is at hand; null: it has to be asked for. */
  readonly vetNow: VetNow;
  /** Connects by addresses that were vetted for this very permit: a socket, `connect_failed`, `connect_timeout`. */
  readonly open: OpenTcp;
  /** A connected socket, or a reason of `vet`, `connect_failed`, `connect_timeout`. */
  readonly tcp: (permit: Permit, opts: TcpOptions) => Promise<Socket | Denied>;
  /** A verified TLS socket, or a reason of `tcp`, `upstream_tls`. */
  readonly tls: (permit: Permit, opts: TlsOptions) => Promise<TLSSocket | Denied>;
};

/** A reason of our own: without one every abort makes an exception with a stack. */
const GONE = 'nobody waits any more';
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
  const start = opts.through === undefined ? connectWith : attemptBy(opts.through);
  const deadlines = new Deadlines(limits.connectMs);
  const sessions = createSessionBook();
  const { vet, vetNow } = createVetting(opts);
  const told = (outcome: ConnectResult): void => opts.onConnect?.(outcome);

  const ended = (permit: Permit, outcome: ConnectOutcome): Socket | Denied => {
    if (outcome.kind === 'connected') return outcome.socket;
    if (outcome.why !== 'aborted') told(outcome.why === 'elsewhere' ? 'error' : outcome.why);
    return unconnected(outcome.why, permit, outcome.detail);
  };
  const connect = async (permit: Permit, ask: TcpOptions): Promise<Socket | Denied> => {
    const vetted = await vet(permit, ask.signal);
    if ('kind' in vetted) return vetted;
    const { addresses } = vetted;
    return ended(permit, await connectBy({ ...ask, addresses, ...boundsOf(permit, limits) }));
  };

  return {
    vet,
    vetNow,
    open(permit, { vetted, onread }, tell) {
      const addresses = addressesOf(vetted, permit);
      const ask = { addresses, ...boundsOf(permit, limits), onread, allowHalfOpen: true };
      const hear = (outcome: ConnectOutcome): void => {
        if (outcome.kind === 'connected') told('ok');
        tell(ended(permit, outcome));
      };
      return start(ask, hear, deadlines);
    },
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
      const how = { protocols, limitMs: limits.handshakeMs, signal: ask.signal };
      const outcome = await handshake(raw, {
        at: permit.target,
        context,
        ...how,
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

/** A way to connect that promises and hears signals, in the form of `connectWith`. */
function attemptBy(through: (ask: ConnectAsk) => Promise<ConnectOutcome>): typeof connectWith {
  return (ask, told) => {
    const gone = new AbortController();
    const hear = (outcome: ConnectOutcome): void => {
      if (!gone.signal.aborted) told(outcome);
      else if (outcome.kind === 'connected') outcome.socket.destroy();
    };
    through({ ...ask, signal: gone.signal }).then(hear, () => hear({ kind: 'failed', why: 'error' }));
    return { leave: () => gone.abort(GONE) };
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

function isSocket(found: Socket | Denied): found is Socket {
  return !('reason' in found);
}
