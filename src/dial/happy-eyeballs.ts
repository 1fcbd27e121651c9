/**
 * One TCP connection to the first of several addresses that answers: RFC 8305 sections 4 and 5
 * (families interleaved, the next address after 250 ms or at once after a failure). Called by
 * `connect.ts` with addresses that the guard let through; takes literals only and resolves nothing.
 */
import { connect, type OnReadOpts, type Socket } from 'node:net';
import { parseAddress } from '../wire/authority.ts';

export type ConnectOutcome =
  | { readonly kind: 'connected'; readonly socket: Socket }
  /** `detail`: a sentence for the agent, where there is more to say than `why` */
  | { readonly kind: 'failed'; readonly why: ConnectFailure; readonly detail?: string };

/** `elsewhere`: the kernel names another peer than the one asked for */
export type ConnectFailure = 'refused' | 'timeout' | 'error' | 'aborted' | 'elsewhere';

export type ConnectAsk = {
  /** vetted, canonical */
  readonly addresses: readonly string[];
  readonly port: number;
  /** in whose name; whoever counts attempts counts by it */
  readonly group?: string;
  readonly staggerMs: number;
  /** all attempts together, milliseconds */
  readonly limitMs: number;
  readonly onread?: OnReadOpts | undefined;
  readonly allowHalfOpen?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** A name with more addresses gets no more attempts than this. */
const MAX_ADDRESSES = 6;
const KEEP_ALIVE_MS = 30_000;

/** IPv6 first, then the families in turn, each in the order given; at most six. */
export function interleave(addresses: readonly string[]): readonly string[] {
  if (addresses.length === 1) return addresses;
  const v6 = addresses.filter((address) => address.includes(':'));
  const v4 = addresses.filter((address) => !address.includes(':'));
  const mixed: string[] = [];
  for (let i = 0; i < Math.max(v6.length, v4.length); i += 1) {
    mixed.push(...v6.slice(i, i + 1), ...v4.slice(i, i + 1));
  }
  return mixed.slice(0, MAX_ADDRESSES);
}

/**
 * Connects. Never rejects; losers are destroyed before the winner is handed out. The socket has
 * an `error` listener for life, so that nobody's delay can make an error fatal. I2: the winner's remote
 * address is compared with the vetted one before anyone sees the socket.
 */
export function connectFirst(ask: ConnectAsk): Promise<ConnectOutcome> {
  return new Promise((resolve) => {
    const queue = [...interleave(ask.addresses)];
    const open = new Set<Socket>();
    let refused = queue.length > 0;
    let over = false;
    let stagger: NodeJS.Timeout | undefined;

    const finish = (outcome: ConnectOutcome): void => {
      if (over) return;
      over = true;
      clearTimeout(limit);
      clearTimeout(stagger);
      ask.signal?.removeEventListener('abort', leave);
      for (const socket of open) {
        if (outcome.kind === 'failed' || socket !== outcome.socket) socket.destroy();
      }
      resolve(outcome);
    };
    const leave = (): void => finish({ kind: 'failed', why: 'aborted' });
    const next = (): void => {
      clearTimeout(stagger);
      const address = queue.shift();
      if (address === undefined && open.size === 0)
        finish({ kind: 'failed', why: refused ? 'refused' : 'error' });
      if (over || address === undefined) return;
      const socket = dial(address, ask);
      open.add(socket);
      socket.once('error', (error: NodeJS.ErrnoException) => {
        open.delete(socket);
        refused &&= error.code === 'ECONNREFUSED';
        next();
      });
      socket.once('connect', () => {
        if (reached(socket, address, ask.port)) finish({ kind: 'connected', socket });
        else finish({ kind: 'failed', why: 'elsewhere' });
      });
      if (queue.length > 0) stagger = setTimeout(next, ask.staggerMs);
    };

    const limit = setTimeout(() => finish({ kind: 'failed', why: 'timeout' }), ask.limitMs);
    ask.signal?.addEventListener('abort', leave, { once: true });
    if (ask.signal?.aborted === true) leave();
    else next();
  });
}

function dial(address: string, ask: ConnectAsk): Socket {
  const socket = connect({
    host: address,
    port: ask.port,
    // Never reached for a literal; should it be, the system's resolver must not answer (I2).
    lookup: (_name, _options, callback) => callback(new Error('names are not dialled'), ''),
    autoSelectFamily: false,
    noDelay: true,
    // A tunnel has an idle limit of its own; pooled connections are kept for longer and must notice a dead peer.
    ...(ask.onread === undefined ? { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS } : {}),
    allowHalfOpen: ask.allowHalfOpen === true,
    ...(ask.onread === undefined ? {} : { onread: ask.onread }),
  });
  socket.on('error', ignore);
  return socket;
}

/** The peer as the kernel tells it; a socket that is already reset has none and does not count. */
function reached(socket: Socket, address: string, port: number): boolean {
  const remote = socket.remoteAddress;
  if (remote === undefined || socket.remotePort !== port) return false;
  return remote === address || parseAddress(remote)?.host === address;
}

function ignore(): void {}
