/**
 * The one port of the sandbox side: accepts sockets, tells HTTP, SOCKS5 and the rest apart by the first
 * byte, caps how many are open. What is neither gets the clearest answer its protocol has, one record, and the end.
 */
import net from 'node:net';
import type { FlowRecord } from '../audit/flow-record.ts';
import { type Answerer, HTTP_ANSWERS, sendRefusal } from '../base/answer.ts';
import type { Clock } from '../base/clock.ts';
import { ClientLink, type LinkUser } from '../base/link.ts';
import type { LiveRegistry } from '../base/live.ts';
import type { Scratch } from '../base/scratch.ts';
import { type Denied, denied, REASONS } from '../flow/reason.ts';
import { sniff } from '../wire/sniff.ts';

export type AcceptorDeps = {
  readonly live: LiveRegistry;
  /** sockets in all, those that wait for their refusal to be read too; beyond, no answer is sent */
  readonly maxLinks: number;
  readonly scratch: Scratch;
  readonly clock: Clock;
  readonly newId: () => string;
  /** the proxy is about to end */
  readonly draining: () => boolean;
  /** an exception ended a connection */
  readonly onError: (error: unknown) => void;
  /** a record of something that is no request, filled in with what is known of the client */
  readonly faultRecord: (link: ClientLink, flow: string) => FlowRecord;
};

export type ListenerDeps = AcceptorDeps & {
  /** serves HTTP on the link; sets its user */
  readonly http: (link: ClientLink, flow: string, first: Buffer) => void;
  /** serves SOCKS5 on the link; sets its user */
  readonly socks: (link: ClientLink, flow: string, first: Buffer) => void;
};

/** From the connection to its first byte. */
const FIRST_BYTE_MS = 60_000;
/** SYN queue: bursts of short tunnels must not see resets. */
const BACKLOG = 4_096;

export function createListener(deps: ListenerDeps): net.Server {
  return createAcceptor(deps, HTTP_ANSWERS, (link, flow) => new FirstBytes(deps, link, flow));
}

/** Accepts sockets up to the cap, refuses the rest with a record. `begin`: who serves a new link. */
export function createAcceptor(
  deps: AcceptorDeps,
  answers: Answerer,
  begin: (link: ClientLink, flow: string) => LinkUser,
): net.Server {
  const options = { pauseOnConnect: true, noDelay: true, allowHalfOpen: true };
  return net.createServer(options, (accepted) => {
    const link = new ClientLink(accepted, deps.scratch, deps.onError);
    const flow = deps.newId();
    // Every link is listed, refused ones too: the tick ends them at their limit.
    const seated = deps.live.addLink(link);
    if (!seated) {
      const record = deps.faultRecord(link, flow);
      const why = denied('overloaded');
      const crowded = deps.live.connections > deps.maxLinks;
      refuseLink(link, { record, why, answer: crowded ? null : answers.refusal(record, why) });
      return undefined;
    }
    link.user = link.address === '' ? new Gone(deps, link, flow) : begin(link, flow);
    link.socket.resume();
  });
}

/** Starts listening; rejects when the address cannot be had. `shared`: with other processes of this program. */
export async function listen(
  server: net.Server,
  at: { host: string; port: number },
  shared = false,
): Promise<net.AddressInfo> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ host: at.host, port: at.port, backlog: BACKLOG, reusePort: shared }, resolve);
  await promise;
  server.off('error', reject);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the listener has no address');
  return address;
}

class FirstBytes implements LinkUser {
  readonly #deps: ListenerDeps;
  readonly #link: ClientLink;
  readonly #flow: string;
  readonly #deadline: number;

  constructor(deps: ListenerDeps, link: ClientLink, flow: string) {
    this.#deps = deps;
    this.#link = link;
    this.#flow = flow;
    this.#deadline = deps.clock.mono() + FIRST_BYTE_MS;
  }

  onBytes(bytes: Buffer): boolean {
    switch (sniff(bytes)) {
      case 'http1':
        this.#deps.http(this.#link, this.#flow, bytes);
        return true;
      case 'socks5':
        this.#deps.socks(this.#link, this.#flow, bytes);
        return true;
      case 'tls':
        return this.#refuse(
          denied('bad_request', 'TLS on the proxy port; the proxy URL starts with http://.'),
        );
      case 'unknown':
        return this.#refuse(denied('bad_request', 'These bytes are no HTTP request.'));
    }
  }

  onEnd(): void {
    this.#link.socket.end();
  }

  onDrain(): void {}
  onClose(): void {}

  tick(now: number): void {
    if (now > this.#deadline || this.#deps.draining()) this.#link.socket.destroy();
  }

  #refuse(why: Denied): boolean {
    const record = this.#deps.faultRecord(this.#link, this.#flow);
    refuseLink(this.#link, { record, why, answer: HTTP_ANSWERS.refusal(record, why) });
    return true;
  }
}

/** Reset by the client before its address was read: whatever bytes still wait, nobody is there to be judged by them. */
class Gone implements LinkUser {
  readonly #deps: AcceptorDeps;
  readonly #link: ClientLink;
  readonly #flow: string;

  constructor(deps: AcceptorDeps, link: ClientLink, flow: string) {
    this.#deps = deps;
    this.#link = link;
    this.#flow = flow;
  }

  onBytes(): boolean {
    this.#deps.faultRecord(this.#link, this.#flow).end({ status: 0, ended: 'client_abort' });
    this.#link.socket.destroy();
    return false;
  }

  onEnd(): void {
    this.#link.socket.destroy();
  }

  onDrain(): void {}
  onClose(): void {}

  tick(): void {
    this.#link.socket.destroy();
  }
}

/** Records the refusal of a whole connection and ends it. `answer`: in the client's own protocol; null: a reset. */
export function refuseLink(
  link: ClientLink,
  to: { record: FlowRecord; why: Denied; answer: Buffer | null },
): void {
  const { record, why, answer } = to;
  record.deny(why);
  const { status } = REASONS[why.reason];
  const ended = why.reason === 'client_timeout' ? 'timeout' : 'refused';
  record.end({ status, ended, reason: why.reason, bytesDown: answer?.length ?? 0 });
  sendRefusal(link, answer);
}
