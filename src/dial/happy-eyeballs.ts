/**
 * One TCP connection to the first of several addresses that answers: RFC 8305 sections 4 and 5
 * (families interleaved, the next address after 250 ms or at once after a failure). Called by
 * `connect.ts` with addresses that the guard let through; takes literals only and resolves nothing.
 */
import { connect, type LookupFunction, type OnReadOpts, type Socket } from 'node:net';
import { UNLISTED } from '../base/roster.ts';
import { parseAddress } from '../wire/authority.ts';
import { Deadlines, type Timed } from './deadlines.ts';

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
const ABORTED: ConnectOutcome = { kind: 'failed', why: 'aborted' };

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

/** An attempt under way. */
export type Attempt = {
  /** Gives it up: nothing is told any more. No matter when, or how often. */
  leave(): void;
};

/** The result of `connectWith`, as a promise; given up by `ask.signal`. Never rejects. */
export function connectFirst(ask: ConnectAsk): Promise<ConnectOutcome> {
  return new Promise((resolve) => {
    const { signal } = ask;
    if (signal?.aborted === true) return resolve(ABORTED);
    const finish = (outcome: ConnectOutcome): void => {
      signal?.removeEventListener('abort', leave);
      resolve(outcome);
    };
    const race = connectWith(ask, finish);
    const leave = (): void => {
      race.leave();
      resolve(ABORTED);
    };
    signal?.addEventListener('abort', leave, { once: true });
    return undefined;
  });
}

/**
 * Connects, and calls `told` once, after it has returned; losers are destroyed before. The socket has
 * an `error` listener for life, so that nobody's delay can make an error fatal. I2: the winner's remote
 * address is compared with the vetted one before anyone sees the socket. `deadlines`: shared by all that have
 * the same limit.
 */
export function connectWith(
  ask: ConnectAsk,
  told: (outcome: ConnectOutcome) => void,
  deadlines = new Deadlines(ask.limitMs),
): Attempt {
  const race = new Race(ask, told, deadlines);
  deadlines.begin(race);
  race.next();
  return race;
}

class Race implements Attempt, Timed {
  place = UNLISTED;
  since = 0;
  readonly #deadlines: Deadlines;
  readonly #ask: ConnectAsk;
  readonly #told: (outcome: ConnectOutcome) => void;
  readonly #queue: readonly string[];
  readonly #open: Socket[] = [];
  #stagger: NodeJS.Timeout | undefined;
  #tried = 0;
  #refused: boolean;
  #over = false;

  constructor(ask: ConnectAsk, told: (outcome: ConnectOutcome) => void, deadlines: Deadlines) {
    this.#deadlines = deadlines;
    this.#ask = ask;
    this.#told = told;
    this.#queue = interleave(ask.addresses);
    this.#refused = this.#queue.length > 0;
  }

  leave(): void {
    this.#end(null);
  }

  late(): void {
    this.#fail('timeout');
  }

  /** Tries the next address; without one left it is over once nobody tries any more. */
  next(): void {
    if (this.#over) return;
    if (this.#stagger !== undefined) clearTimeout(this.#stagger);
    const address = this.#queue[this.#tried];
    if (address === undefined) {
      if (this.#open.length === 0) process.nextTick(() => this.#fail(this.#refused ? 'refused' : 'error'));
      return;
    }
    this.#tried += 1;
    const socket = dial(address, this.#ask);
    this.#open.push(socket);
    socket.on('error', (error: NodeJS.ErrnoException) => this.#failed(socket, error.code));
    socket.on('connect', () => this.#connected(socket, address));
    if (this.#tried < this.#queue.length) {
      this.#stagger = setTimeout(() => this.next(), this.#ask.staggerMs);
    }
  }

  #failed(socket: Socket, code: string | undefined): void {
    const at = this.#open.indexOf(socket);
    if (this.#over || at < 0) return;
    this.#open.splice(at, 1);
    this.#refused &&= code === 'ECONNREFUSED';
    this.next();
  }

  #connected(socket: Socket, address: string): void {
    if (this.#over) return;
    if (reached(socket, address, this.#ask.port)) this.#finish({ kind: 'connected', socket });
    else this.#fail('elsewhere');
  }

  #fail(why: ConnectFailure): void {
    this.#finish({ kind: 'failed', why });
  }

  #finish(outcome: ConnectOutcome): void {
    if (this.#over) return;
    this.#end(outcome.kind === 'connected' ? outcome.socket : null);
    this.#told(outcome);
  }

  #end(winner: Socket | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadlines.end(this);
    if (this.#stagger !== undefined) clearTimeout(this.#stagger);
    for (const socket of this.#open) if (socket !== winner) socket.destroy();
    this.#open.length = 0;
  }
}

function dial(host: string, { port, onread, allowHalfOpen = false }: ConnectAsk): Socket {
  const common = { host, port, lookup: noNames, autoSelectFamily: false, noDelay: true, allowHalfOpen };
  // A tunnel has an idle limit of its own; pooled connections are kept for longer and must notice a dead peer.
  if (onread === undefined)
    return connect({ ...common, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
  return connect({ ...common, onread });
}

/** Never reached for a literal; should it be, the system's resolver must not answer (I2). */
const noNames: LookupFunction = (_name, _options, callback) =>
  callback(new Error('names are not dialled'), '');

/** The peer as the kernel tells it; a socket that is already reset has none and does not count. */
function reached(socket: Socket, address: string, port: number): boolean {
  const remote = socket.remoteAddress;
  if (remote === undefined || socket.remotePort !== port) return false;
  return remote === address || parseAddress(remote)?.host === address;
}
