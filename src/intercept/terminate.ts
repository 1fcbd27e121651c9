/**
 * Ends the client's TLS with a leaf of our CA and runs an HTTP session inside. The ClientHello passes the same
 * gate as on a tunnel before TLS sees a byte: the name it asks for is the CONNECT host, or nothing is answered
 * (one canonical target). The upstream is not dialled here: each request is judged, recorded and sent on its own.
 */
import tls from 'node:tls';
import type { Ended } from '../audit/event.ts';
import type { FlowRecord } from '../audit/flow-record.ts';
import { FlowWords } from '../audit/flow-words.ts';
import { sendSuccess } from '../base/answer.ts';
import { type ClientLink, type LinkUser, linkSide, sessionUser } from '../base/link.ts';
import type { LiveFlow } from '../base/live.ts';
import { answerInTheClear } from '../base/refuse.ts';
import { UNLISTED } from '../base/roster.ts';
import type { Admitted, Carry, Session, SessionSide, SessionTurn } from '../base/stages.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Authority, Target } from '../flow/target.ts';
import type { Treat } from '../flow/verdict.ts';
import { HelloGate } from '../wire/hello-gate.ts';
import { chooseProtocol } from './alpn.ts';
import { H2Session } from './h2-session.ts';
import { insideTurn } from './inside.ts';
import { HttpSession } from './session.ts';
import type { SessionAsk, SessionDeps } from './session-job.ts';

export type TerminateDeps = SessionDeps & {
  /** leaf and key for a host, from `leaf.ts` */
  readonly contextFor: (at: Authority) => tls.SecureContext;
  /** a client broke the handshake off: most often it does not trust our CA */
  readonly onHandshakeError: (host: string, error: Error) => void;
};

/** From the 200 to the end of the handshake. */
const HANDSHAKE_MS = 10_000;
// RFC 8446 section 6: fatal unrecognized_name, fatal decode_error.
const ALERT_UNRECOGNIZED_NAME = Buffer.from([0x15, 3, 3, 0, 2, 2, 112]);
const ALERT_DECODE_ERROR = Buffer.from([0x15, 3, 3, 0, 2, 2, 50]);

/** Carries connections whose TLS we end. */
export function createTerminator(deps: TerminateDeps): Carry {
  return (job) => new Interception(deps, job, 'intercept').startTls(deps);
}

/** Carries connections to port 80, on which HTTP is spoken in the clear (Node's fetch tunnels even these). */
export function createPlainCarrier(deps: SessionDeps): Carry {
  return (job) => new Interception(deps, job, 'plain').startPlain();
}

class Interception implements LinkUser, LiveFlow {
  readonly treat: Treat;
  readonly facts = null;
  place = UNLISTED;
  readonly startedAt: number;
  readonly #deps: SessionDeps;
  readonly #job: Admitted;
  #gate: HelloGate | null;
  #contextFor: TerminateDeps['contextFor'] | null = null;
  #onHandshakeError: TerminateDeps['onHandshakeError'] | null = null;
  #tls: tls.TLSSocket | null = null;
  #session: HttpSession | H2Session | null = null;
  /** monotonic milliseconds; 0 once the handshake is done */
  #deadline: number;
  #over = false;

  constructor(deps: SessionDeps, job: Admitted, treat: Treat) {
    this.#deps = deps;
    this.#job = job;
    this.treat = treat;
    this.startedAt = deps.clock.now();
    this.#gate = new HelloGate(job.permit.target, 'tls');
    this.#deadline = deps.clock.mono() + HANDSHAKE_MS;
    deps.live.add(this);
  }

  get bytesUp(): number {
    return this.#session?.bytesUp ?? 0;
  }
  get bytesDown(): number {
    return this.#session?.bytesDown ?? 0;
  }
  get id(): string {
    return this.#job.permit.flow;
  }
  get identity(): Identity {
    return this.#job.permit.identity;
  }
  get client(): string {
    return this.#job.link.address;
  }
  get target(): Target {
    return this.#job.permit.target;
  }

  startTls(deps: TerminateDeps): void {
    const { link, answers, early, clientEnded } = this.#job;
    this.#contextFor = deps.contextFor;
    this.#onHandshakeError = deps.onHandshakeError;
    link.user = this;
    sendSuccess(link, answers);
    if (early.length > 0) this.onBytes(early);
    if (clientEnded) this.onEnd();
    if (!this.#over && this.#tls === null) link.socket.resume();
  }

  startPlain(): void {
    const { link, answers, permit, early, clientEnded } = this.#job;
    this.#deadline = 0;
    this.#gate = null;
    const session = this.#openSession(linkSide(link), this.#turn(permit, false));
    const user = sessionUser(session);
    const onClose = (failed: boolean): void => {
      user.onClose(failed);
      this.#end(failed ? 'client_abort' : 'done', null);
    };
    link.user = { ...user, onClose };
    sendSuccess(link, answers);
    if (early.length > 0) session.feed(early);
    if (clientEnded) session.finish();
    link.socket.resume();
  }

  // ---- the plain socket, until TLS takes it over

  onBytes(bytes: Buffer): boolean {
    if (this.#gate === null || this.#over) return false;
    const verdict = this.#gate.feed(bytes);
    if (verdict.kind === 'more') return true;
    if (verdict.kind === 'pass') this.#secure(verdict.bytes, verdict.alpn);
    else this.#refuseHello(verdict);
    // Whoever is refused is read on, by the link; what passed is read by TLS.
    return verdict.kind === 'deny';
  }

  onEnd(): void {
    if (this.#gate !== null) this.#refuseHello(denied('not_tls', 'The client sent no whole ClientHello.'));
  }

  onDrain(): void {}

  onClose(failed: boolean): void {
    this.#end(failed ? 'client_abort' : 'done', null);
  }

  tick(now: number): void {
    if (this.#deadline > 0 && now > this.#deadline) {
      this.#end('timeout', denied('client_timeout'));
      this.#job.link.socket.destroy();
    } else this.#session?.tick(now);
  }

  cut(why: Denied): void {
    this.#end('cut', why);
    // The reset has to leave on the plain socket: what was sent must not look complete.
    this.#job.link.reset(this.#tls ?? undefined);
    // TLS would tell of its close within the call, before the requests inside hear why they are cut.
    process.nextTick(() => void this.#tls?.destroy());
  }

  #refuseHello(why: Denied): void {
    if (this.#over) return;
    const alert = why.reason === 'sni_mismatch' ? ALERT_UNRECOGNIZED_NAME : ALERT_DECODE_ERROR;
    const { link, record } = this.#job;
    const answer = answerInTheClear(record, why, this.#gate?.first) ?? alert;
    this.#end('refused', why);
    link.finishWith(answer);
  }

  #secure(hello: Buffer, offered: readonly string[]): void {
    const { link, permit } = this.#job;
    const secureContext = this.#contextFor?.(permit.target);
    if (secureContext === undefined) return;
    const protocol = chooseProtocol(offered, permit.verdict.prefersH2);
    this.#gate = null;
    link.socket.pause();
    link.socket.unshift(hello);
    const secure = new tls.TLSSocket(link.socket, {
      isServer: true,
      secureContext,
      ALPNProtocols: [protocol],
      sessionIdContext: 'sallyport',
    });
    this.#tls = secure;
    secure.on('error', (error: Error) => {
      if (this.#deadline > 0) this.#onHandshakeError?.(permit.target.host, error);
      secure.destroy();
    });
    secure.once('secure', () => {
      this.#deadline = 0;
    });
    if (protocol === 'h2') secure.once('secure', () => this.#openH2(secure));
    else this.#openHttp1(link, secure);
    secure.on('close', (failed: boolean) => {
      this.#end(failed ? 'client_abort' : 'done', null);
      link.socket.destroy();
    });
  }

  #openHttp1(link: ClientLink, secure: tls.TLSSocket): void {
    const turn = this.#turn(this.#job.permit, true);
    const session = this.#openSession(tlsSide(link, secure), turn);
    secure.on('data', (bytes: Buffer) => session.feed(bytes));
    secure.on('drain', () => session.drained());
    secure.on('end', () => session.finish());
    secure.on('close', () => session.closed());
  }

  #openH2(socket: tls.TLSSocket): void {
    if (this.#over || socket.destroyed) return;
    const onHead = this.#turn(this.#job.permit, true);
    const { group } = this.identity;
    this.#session = new H2Session(this.#deps, { ...this.#sessionAsk(), socket, group, onHead });
  }

  #openSession(side: SessionSide, onHead: (turn: SessionTurn) => void): Session {
    const session = new HttpSession(this.#deps, { ...this.#sessionAsk(), side, onHead });
    this.#session = session;
    return session;
  }

  /** What the sessions of either protocol are told of this connection. */
  #sessionAsk(): Pick<SessionAsk, 'client' | 'flow' | 'words' | 'via' | 'onFault'> {
    const { permit } = this.#job;
    return {
      client: this.client,
      flow: permit.flow,
      words: new FlowWords(),
      via: permit.target.via,
      onFault: (fault) => this.#describe(fault),
    };
  }

  #turn(permit: Permit, secure: boolean): (turn: SessionTurn) => void {
    const { draining } = this.#deps;
    return insideTurn(permit, secure, { draining, describe: (record) => this.#describe(record) });
  }

  /** What a request has from its connection, where it is refused before it is judged. */
  #describe(request: FlowRecord): void {
    const { permit, record } = this.#job;
    request.identity = permit.identity;
    request.at = permit.target;
    request.policy = record.policy;
    request.treat = this.treat;
  }

  #end(ended: Ended, why: Denied | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#deps.live.drop(this);
    // Bytes stand in the records of the requests; counted here they would count twice.
    this.#job.record.end({ status: 200, ended, reason: why?.reason ?? null });
  }
}

function tlsSide(link: ClientLink, secure: tls.TLSSocket): SessionSide {
  return {
    write: (bytes, encoding) => secure.write(bytes, encoding),
    end: () => void secure.end(),
    destroy: () => {
      link.reset(secure);
      secure.destroy();
    },
    unsent: secure,
    pause: () => void secure.pause(),
    resume: () => void secure.resume(),
  };
}
