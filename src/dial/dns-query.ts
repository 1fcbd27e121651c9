/**
 * One DNS question put to name servers in order, over UDP and, when the answer was cut short, TCP.
 * Called by `resolve.ts` only. A connected UDP socket per question: the kernel picks a random source
 * port and drops datagrams from anyone but the asked server (RFC 5452 section 9).
 * Nothing here throws or rejects: every end is a value.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import type { NameServer } from './dns-servers.ts';
import { encodeQuery, type QueryType, type Question, type Reply, readReply } from './dns-wire.ts';

export type QueryOutcome = Exclude<Reply, { kind: 'truncated' }> | { readonly kind: 'timeout' };
type TryOutcome = Reply | { readonly kind: 'timeout' };

export type QueryLimits = {
  /** one try at one server, milliseconds */
  readonly tryMs: number;
  /** all tries together, milliseconds */
  readonly totalMs: number;
};

/** A silent server is asked this often; one that answered with an error, once. */
const ROUNDS = 3;

/**
 * Asks for one type of one name, of each server in turn, until one of them knows. `signal` ends it early,
 * as `timeout`. `failed` when every server answered with an error or refused the packet.
 */
export async function query(
  servers: readonly NameServer[],
  ask: { readonly name: string; readonly type: QueryType },
  opts: { readonly limits: QueryLimits; readonly signal: AbortSignal },
): Promise<QueryOutcome> {
  const span = { ...opts, deadline: performance.now() + opts.limits.totalMs };
  let silent = servers;
  for (let round = 0; round < ROUNDS && silent.length > 0; round += 1) {
    const asked = await askRound(silent, ask, span);
    if (asked.outcome !== null) return asked.outcome;
    silent = asked.silent;
  }
  return silent.length > 0 ? { kind: 'timeout' } : { kind: 'failed' };
}

type Span = { readonly limits: QueryLimits; readonly signal: AbortSignal; readonly deadline: number };

async function askRound(
  servers: readonly NameServer[],
  ask: { readonly name: string; readonly type: QueryType },
  span: Span,
): Promise<{ outcome: QueryOutcome | null; silent: readonly NameServer[] }> {
  const silent: NameServer[] = [];
  for (const server of servers) {
    const outcome = await askServer(server, ask, span);
    if (outcome.kind === 'addresses' || outcome.kind === 'none') return { outcome, silent };
    if (outcome.kind === 'timeout') silent.push(server);
    if (span.signal.aborted || performance.now() >= span.deadline) {
      return { outcome: { kind: 'timeout' }, silent };
    }
  }
  return { outcome: null, silent };
}

async function askServer(
  server: NameServer,
  ask: { readonly name: string; readonly type: QueryType },
  span: Span,
): Promise<QueryOutcome> {
  const asked = { ...ask, id: randomInt(0x10000) };
  const reply = await askUdp(server, asked, tryMs(span), span.signal);
  if (reply.kind !== 'truncated') return reply;
  const whole = await askTcp(server, { ...asked, id: randomInt(0x10000) }, tryMs(span), span.signal);
  return whole.kind === 'truncated' ? { kind: 'failed' } : whole;
}

function tryMs(span: Span): number {
  return Math.max(1, Math.min(span.limits.tryMs, span.deadline - performance.now()));
}

function askUdp(
  server: NameServer,
  asked: Question,
  limitMs: number,
  signal: AbortSignal,
): Promise<TryOutcome> {
  const socket = createSocket(isIPv6(server.host) ? 'udp6' : 'udp4');
  return settle(limitMs, signal, {
    start(done) {
      // ECONNREFUSED arrives here too: the port is closed, no need to wait for the limit.
      socket.on('error', () => done({ kind: 'failed' }));
      socket.on('message', (bytes) => {
        const reply = readReply(bytes, asked);
        if (reply !== null) done(reply);
      });
      socket.once('connect', () => socket.send(encodeQuery(asked)));
      socket.connect(server.port, server.host);
    },
    stop: () => socket.close(),
  });
}

function askTcp(
  server: NameServer,
  asked: Question,
  limitMs: number,
  signal: AbortSignal,
): Promise<TryOutcome> {
  const socket = connect({ host: server.host, port: server.port, autoSelectFamily: false });
  return settle(limitMs, signal, {
    start(done) {
      // Grows to one message: 65,535 bytes by the length prefix and at most one read more.
      let held: Buffer = Buffer.alloc(0);
      socket.on('error', () => done({ kind: 'failed' }));
      socket.on('close', () => done({ kind: 'failed' }));
      socket.on('data', (bytes) => {
        held = Buffer.concat([held, bytes]);
        if (held.length < 2 || held.length < 2 + held.readUInt16BE(0)) return;
        done(readReply(held.subarray(2, 2 + held.readUInt16BE(0)), asked) ?? { kind: 'failed' });
      });
      const message = encodeQuery(asked);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      // One write: some servers want the prefix and the message in one segment (RFC 7766 section 8).
      socket.write(Buffer.concat([length, message]));
    },
    stop: () => socket.destroy(),
  });
}

type Work = { start(done: (outcome: TryOutcome) => void): void; stop(): void };

/** Runs `work` until it is done, the limit is over or the signal fires, then stops it, once. */
function settle(limitMs: number, signal: AbortSignal, work: Work): Promise<TryOutcome> {
  return new Promise((resolve) => {
    let over = false;
    const done = (outcome: TryOutcome): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', late);
      work.stop();
      resolve(outcome);
    };
    const late = (): void => done({ kind: 'timeout' });
    const timer = setTimeout(late, limitMs);
    signal.addEventListener('abort', late, { once: true });
    if (signal.aborted) late();
    else work.start(done);
  });
}
