/**
 * `refuse: inside`: a connection that is refused is told so, and why, inside TLS that we end ourselves, for clients that
 * hide a refused CONNECT from their user. The stated exception of invariant I3: the success reply opens nothing but this.
 * Nothing is dialled, and whatever the client asks gets the one answer. For refusals of policy, addresses and dialling
 * alone, where TLS is what the client speaks; all others are told as ever.
 */
import tls from 'node:tls';
import type { Ended } from '../audit/event.ts';
import { sendSuccess } from '../base/answer.ts';
import type { Clock } from '../base/clock.ts';
import { type LinkUser, Patience } from '../base/link.ts';
import { answerInTheClear, refusalFor } from '../base/refuse.ts';
import type { RefusedConnection, RefuseInside } from '../base/stages.ts';
import { REASONS, type Reason } from '../flow/reason.ts';
import type { Authority } from '../flow/target.ts';
import { HelloGate } from '../wire/hello-gate.ts';

export type RefuseInsideDeps = {
  readonly clock: Clock;
  /** does the policy in force say `refuse: inside` for the group */
  readonly wanted: (group: string) => boolean;
  /** leaf and key for a host; a cache of its own, because a sandbox can name any host here */
  readonly contextFor: (at: Authority) => tls.SecureContext;
};

/** Such connections of one group at once; beyond, the CONNECT itself is refused. */
const MAX_INSIDE_PER_GROUP = 64;
/** From the success reply to the whole head of a request. */
const ASK_MS = 10_000;
/** The head is not parsed: a longer one gets its answer here. */
const MAX_HEAD_BYTES = 32 * 1024;
/** After the answer: how much the client may still send before the socket goes. */
const LINGER_BYTES = 1024 * 1024;
const HEAD_END = '\r\n\r\n';
const HEAD_METHOD = 'HEAD ';
const TLS_PORT = 443;

/** What another answer would not help: not who asks, not the state of the proxy, not what it cannot afford. */
const TOLD_INSIDE: ReadonlySet<Reason> = new Set<Reason>([
  'host_not_allowed',
  'port_not_allowed',
  'rule_denied',
  'address_not_allowed',
  'approval_denied',
  'budget_spent',
  'dns_failed',
  'dns_timeout',
  'connect_failed',
  'connect_timeout',
]);

export function createInsideRefuser(deps: RefuseInsideDeps): RefuseInside {
  const open = new Map<string, number>();
  return (job) => {
    const { group } = job.identity;
    if (!TOLD_INSIDE.has(job.why.reason) || !(job.tls || job.target.port === TLS_PORT)) return false;
    const count = open.get(group) ?? 0;
    if (job.link.socket.destroyed || count >= MAX_INSIDE_PER_GROUP || !deps.wanted(group)) return false;
    open.set(group, count + 1);
    const left = (): void => {
      const rest = (open.get(group) ?? 1) - 1;
      if (rest === 0) open.delete(group);
      else open.set(group, rest);
    };
    new InsideRefusal(deps, job, left).start();
    return true;
  };
}

class InsideRefusal implements LinkUser {
  readonly #deps: RefuseInsideDeps;
  readonly #job: RefusedConnection;
  readonly #left: () => void;
  #gate: HelloGate | null;
  #tls: tls.TLSSocket | null = null;
  #head = '';
  /** by when the request must have come, monotonic milliseconds */
  readonly #deadline: number;
  #patience: Patience | null = null;
  #lingered = 0;

  constructor(deps: RefuseInsideDeps, job: RefusedConnection, left: () => void) {
    this.#deps = deps;
    this.#job = job;
    this.#left = left;
    this.#gate = new HelloGate(job.target, 'tls');
    this.#deadline = deps.clock.mono() + ASK_MS;
  }

  start(): void {
    const { link, record, answers, why, early, clientEnded } = this.#job;
    link.user = this;
    link.bulk = false;
    record.deny(why);
    sendSuccess(link, answers);
    if (early.length > 0) this.onBytes(early);
    if (clientEnded) this.onEnd();
    if (this.#tls === null) link.socket.resume();
  }

  // ---- the plain socket, until TLS takes it over

  onBytes(bytes: Buffer): boolean {
    if (this.#gate === null) return false;
    const verdict = this.#gate.feed(bytes);
    if (verdict.kind === 'more') return true;
    if (verdict.kind === 'pass') this.#secure(verdict.bytes);
    else this.#refuseHello(verdict.reason);
    // Whoever is refused is read on, by the link; what passed is read by TLS.
    return verdict.kind === 'deny';
  }

  /** Before TLS: what begins like HTTP gets the answer in the clear; there is nothing that another client would read. */
  #refuseHello(reason: Reason): void {
    const { record, why } = this.#job;
    this.#end('refused', reason, answerInTheClear(record, why, this.#gate?.first));
  }

  onEnd(): void {
    if (this.#gate !== null) this.#end('refused', 'not_tls');
  }

  onDrain(): void {}

  onClose(): void {
    this.#record('client_abort', this.#job.why.reason, 0);
    this.#left();
  }

  tick(now: number): void {
    const over = this.#patience === null ? now >= this.#deadline : this.#patience.isOver(now);
    if (!over) return;
    this.#record('timeout', 'client_timeout', 0);
    this.#destroy();
  }

  #secure(hello: Buffer): void {
    const { link } = this.#job;
    this.#gate = null;
    const secureContext = this.#context();
    if (secureContext === null) return this.#end('error', this.#job.why.reason);
    link.socket.pause();
    link.socket.unshift(hello);
    const secure = new tls.TLSSocket(link.socket, {
      isServer: true,
      secureContext,
      ALPNProtocols: ['http/1.1'],
      sessionIdContext: 'sallyport',
    });
    this.#tls = secure;
    // A client that does not trust our CA breaks the handshake off: `close` follows, and settles the record.
    secure.on('error', () => secure.destroy());
    secure.on('data', (bytes: Buffer) => this.#heard(bytes));
    secure.on('end', () => this.#finish());
    secure.on('close', () => link.socket.destroy());
  }

  /** Null: our CA has expired, which the log says for every intercepted connection. */
  #context(): tls.SecureContext | null {
    try {
      return this.#deps.contextFor(this.#job.target);
    } catch {
      // Whatever it was: the connection is refused already, and ends.
      return null;
    }
  }

  // ---- inside

  #heard(bytes: Buffer): void {
    if (this.#patience !== null) {
      this.#lingered += bytes.length;
      if (this.#lingered >= LINGER_BYTES) this.#destroy();
      return;
    }
    this.#head += bytes.toString('latin1');
    if (this.#head.includes(HEAD_END) || this.#head.length >= MAX_HEAD_BYTES) this.#answer();
  }

  /** The one answer, whatever was asked: nothing of the request is read but whether a body may follow the head. */
  #answer(): void {
    const { record, why } = this.#job;
    const headOnly = this.#head.startsWith(HEAD_METHOD);
    const bytes = refusalFor(record, why, { close: true, headOnly });
    this.#head = '';
    this.#record('refused', why.reason, bytes.length);
    this.#finish(bytes);
  }

  #finish(bytes?: Buffer): void {
    const secure = this.#tls;
    if (secure === null || this.#patience !== null) return;
    this.#patience = new Patience(secure);
    if (bytes === undefined) secure.end();
    else secure.end(bytes);
  }

  // ---- every way out

  /** Before TLS. */
  #end(ended: Ended, reason: Reason, answer: Buffer | null = null): void {
    this.#gate = null;
    this.#record(ended, reason, 0);
    this.#left();
    this.#job.link.finishWith(answer);
  }

  #record(ended: Ended, reason: Reason, bytesDown: number): void {
    const status = ended === 'refused' ? REASONS[reason].status : 0;
    this.#job.record.end({ status, ended, reason, bytesDown });
  }

  #destroy(): void {
    this.#tls?.destroy();
    this.#job.link.socket.destroy();
  }
}
