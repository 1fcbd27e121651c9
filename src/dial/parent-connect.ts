/**
 * One connection through the loopback end of `parent.ts`: CONNECT to a judged address, the answer read to its last
 * byte, the socket handed on as if it had been dialled. Addresses are tried one after the other: the parent does
 * not tell what it waits for, and parallel attempts would cost its licence or its limits.
 */
import { connect, type Socket } from 'node:net';
import type { ConnectAsk, ConnectFailure, ConnectOutcome } from './happy-eyeballs.ts';
import { interleave } from './happy-eyeballs.ts';

/** Answers of the hop are a status line and two fields. */
const MAX_ANSWER_BYTES = 4_096;
/** Attempts that wait for the parent at a time, those of clients that left included; a quarter for each group. */
const MAX_PENDING = 1_024;
const MAX_PENDING_OF_GROUP = MAX_PENDING / 4;
/**
 * proxy-chain loses the parent's socket when ours is closed while a SOCKS parent still connects; it gives up by
 * itself after 30 s. So the socket of a client that left stays open for the answer, and is closed then.
 */
const ABANDONED_MS = 35_000;
const MAX_TRIES = 3;
const HEAD_END = '\r\n\r\n';

type Via = { readonly host: string; readonly port: number };

/** What the hop answers instead of 200 (its own codes above 589), and what the agent may be told. */
const FAILURES: ReadonlyMap<number, { why: ConnectFailure; detail: string }> = new Map([
  [504, { why: 'timeout', detail: 'did not answer in time' }],
  [593, { why: 'error', detail: 'has a name that does not resolve' }],
  [594, { why: 'error', detail: 'refused the connection' }],
  [597, { why: 'error', detail: 'did not accept its credentials' }],
]);

/** Connects through `via`, by addresses of `ask`. The result never rejects. */
export function createParentConnect(opts: { authorization: string; socks: boolean }) {
  const pending = new Pending();
  const attempt = (via: Via, address: string, ask: ConnectAsk, limitMs: number): Promise<ConnectOutcome> => {
    const leavePending = pending.enter(ask.group ?? '');
    if (leavePending === null) return Promise.resolve(failed('error', 'is asked for too much at once'));
    return new Promise((resolve) => {
      const socket = connect({ ...via, noDelay: true, allowHalfOpen: ask.allowHalfOpen === true });
      let answer = '';
      let over = false;
      socket.once('close', leavePending);
      const finish = (outcome: ConnectOutcome): void => {
        if (over) return;
        over = true;
        clearTimeout(limit);
        ask.signal?.removeEventListener('abort', leave);
        socket.off('data', onAnswer);
        if (outcome.kind === 'failed') abandon(socket, opts.socks && answer === '');
        else leavePending();
        resolve(outcome);
      };
      const leave = (): void => finish(failed('aborted'));
      const onAnswer = (bytes: Buffer): void => {
        answer += bytes.toString('latin1');
        const end = answer.indexOf(HEAD_END);
        if (end < 0 && answer.length <= MAX_ANSWER_BYTES) return;
        const outcome = judge(answer.slice(0, Math.max(end, 0)), socket);
        const rest = Buffer.from(answer.slice(end + HEAD_END.length), 'latin1');
        if (outcome.kind === 'connected') handOver(socket, rest, ask);
        finish(outcome);
      };
      const limit = setTimeout(() => finish(failed('timeout')), limitMs);
      ask.signal?.addEventListener('abort', leave, { once: true });
      socket.on('error', () => finish(failed('error')));
      socket.once('end', () => finish(failed('error')));
      socket.once('close', () => finish(failed('error')));
      socket.on('data', onAnswer);
      socket.once('connect', () => {
        const at = `${address.includes(':') ? `[${address}]` : address}:${ask.port}`;
        socket.write(
          `CONNECT ${at} HTTP/1.1\r\nHost: ${at}\r\nProxy-Authorization: ${opts.authorization}\r\n\r\n`,
        );
      });
      if (ask.signal?.aborted === true) leave();
    });
  };
  return async (via: Via, ask: ConnectAsk): Promise<ConnectOutcome> => {
    const until = performance.now() + ask.limitMs;
    let last: ConnectOutcome = failed('error', 'takes IPv4 addresses only, and the host has none');
    for (const address of usable(ask.addresses, opts.socks)) {
      const leftMs = until - performance.now();
      if (leftMs <= 0) return failed('timeout');
      last = await attempt(via, address, ask, leftMs);
      if (last.kind === 'connected' || last.why === 'aborted') return last;
    }
    return last;
  };
}

/** Who waits, so that a group that connects to nowhere again and again fills its own part alone. */
class Pending {
  readonly #ofGroup = new Map<string, number>();
  #total = 0;

  /** Null: there is no room. The result is to be called when the attempt is over; more calls do nothing. */
  enter(group: string): (() => void) | null {
    const waiting = this.#ofGroup.get(group) ?? 0;
    if (this.#total >= MAX_PENDING || waiting >= MAX_PENDING_OF_GROUP) return null;
    this.#total += 1;
    this.#ofGroup.set(group, waiting + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#leave(group);
    };
  }

  #leave(group: string): void {
    this.#total -= 1;
    const others = (this.#ofGroup.get(group) ?? 1) - 1;
    if (others === 0) this.#ofGroup.delete(group);
    else this.#ofGroup.set(group, others);
  }
}

/** proxy-chain hands an IPv6 address to a SOCKS parent as a name in brackets, which nobody can connect to. */
function usable(addresses: readonly string[], socks: boolean): readonly string[] {
  const known = socks ? addresses.filter((address) => !address.includes(':')) : addresses;
  return interleave(known).slice(0, MAX_TRIES);
}

function judge(head: string, socket: Socket): ConnectOutcome {
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1];
  if (status === '200') return { kind: 'connected', socket };
  const known = FAILURES.get(Number(status));
  if (known !== undefined) return failed(known.why, known.detail);
  const told = /^HTTP\/1\.1 590 UPSTREAM(\d{3})/.exec(head)?.[1];
  return failed('error', told === undefined ? 'could not be reached' : `answered ${told}`);
}

/** What came behind the answer is the upstream's: it is read first, by whoever reads on. */
function handOver(socket: Socket, rest: Buffer, ask: ConnectAsk): void {
  socket.pause();
  if (rest.length > 0) socket.unshift(rest);
  const { onread } = ask;
  if (onread === undefined) return;
  socket.on('data', (bytes: Buffer) => {
    if (!onread.callback(bytes.length, bytes)) socket.pause();
  });
  // A listener for data starts the flow; the reader says when.
  socket.pause();
}

function abandon(socket: Socket, waits: boolean): void {
  if (!waits || socket.connecting) {
    // A FIN would leave the hop waiting for the parent: it takes that for a half-close.
    socket.resetAndDestroy();
    return;
  }
  const limit = setTimeout(() => socket.destroy(), ABANDONED_MS);
  limit.unref();
  socket.once('close', () => clearTimeout(limit));
  socket.once('data', () => socket.destroy());
  socket.resume();
}

function failed(why: ConnectFailure, detail?: string): ConnectOutcome {
  return { kind: 'failed', why, ...(detail === undefined ? {} : { detail: `The parent proxy ${detail}.` }) };
}
