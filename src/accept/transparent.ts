/**
 * Clients that know of no proxy (contract section 2, `transparent`): their connections are led here by a redirect or
 * by our own DNS answers. TLS goes where its SNI says, plain HTTP where its Host says; who asks is told by the source
 * address alone. Behind that it is the same gate, dial, interception and record as for CONNECT.
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Answerer } from '../base/answer.ts';
import { type ClientLink, type LinkUser, linkSide, sessionUser } from '../base/link.ts';
import type { OpenSession, SessionTurn } from '../base/stages.ts';
import type { Snapshot } from '../config/snapshot.ts';
import { type Credential, type Identity, NO_CREDENTIAL } from '../flow/identity.ts';
import { type Denied, denied, isDenied } from '../flow/reason.ts';
import type { Authority, Target, Via } from '../flow/target.ts';
import { parseAuthority } from '../wire/authority.ts';
import { HelloReader } from '../wire/hello.ts';
import { checkHost, parseRequestTarget, type RequestHead } from '../wire/http1-parse.ts';
import { tlsAlert } from '../wire/reply.ts';
import { type ConnectDeps, openConnect } from './connect.ts';
import { type AcceptorDeps, refuseLink } from './listener.ts';

export type TransparentDeps = ConnectDeps &
  AcceptorDeps & {
    readonly openSession: OpenSession;
    readonly snapshot: () => Snapshot | null;
    readonly identify: (
      ask: { address: string; credential: Credential },
      snapshot: Snapshot,
    ) => Identity | Denied;
    /** fills in what the source address tells of a client */
    readonly describe: (client: string, record: FlowRecord) => void;
    /** does a text hold a real key, current or revoked */
    readonly holdsKey: (text: string) => boolean;
    /** of a connection whose target the client's first bytes name */
    readonly newRecord: (ask: { flow: string; client: string; via: Via }) => FlowRecord;
  };

/** From the connection to the whole ClientHello. */
const HELLO_MS = 10_000;
const TLS_PORT = 443;
const HTTP_PORT = 80;

/** The client waits for no answer, and what it understands until TLS begins is an alert. */
export const TLS_ANSWERS: Answerer = { success: Buffer.alloc(0), refusal: (_record, why) => tlsAlert(why) };

/** Serves a redirected TLS connection. */
export function beginTransparentTls(deps: TransparentDeps, link: ClientLink, flow: string): LinkUser {
  return new PendingHello(deps, link, flow);
}

class PendingHello implements LinkUser {
  readonly #deps: TransparentDeps;
  readonly #link: ClientLink;
  readonly #flow: string;
  readonly #hello = new HelloReader();
  readonly #deadline: number;
  /** bytes came: whatever becomes of it, it leaves a record (invariant I4) */
  #began = false;

  constructor(deps: TransparentDeps, link: ClientLink, flow: string) {
    this.#deps = deps;
    this.#link = link;
    this.#flow = flow;
    this.#deadline = deps.clock.mono() + HELLO_MS;
  }

  onBytes(bytes: Buffer): boolean {
    this.#began = true;
    const hello = this.#hello.feed(bytes);
    if (hello.kind === 'more') return true;
    if (hello.kind === 'bad') this.#refuse(denied('not_tls', hello.why), null);
    else if (hello.sni === null) {
      this.#refuse(denied('sni_mismatch', 'The ClientHello names no server.'), null);
    } else {
      const host = parseAuthority(hello.sni, TLS_PORT);
      if (isDenied(host)) this.#refuse(host, null);
      else this.#open(host, hello.bytes);
    }
    return true;
  }

  onEnd(): void {
    this.#refuse(denied('not_tls', 'The client sent no whole ClientHello.'), null);
  }

  onDrain(): void {}

  onClose(): void {
    if (this.#began) this.#record(null).end({ status: 0, ended: 'client_abort' });
  }

  tick(now: number): void {
    const late = now > this.#deadline;
    if (!late && !this.#deps.draining()) return;
    if (!this.#began) this.#link.socket.destroy();
    else this.#refuse(denied(late ? 'client_timeout' : 'draining'), null);
  }

  #open(at: Authority, hello: Buffer): void {
    const { snapshot, identify, holdsKey, draining, newRecord } = this.#deps;
    const current = snapshot();
    // As it was spelt: a host is in lower case, a key need not be.
    if (holdsKey(hello.toString('latin1'))) return this.#refuse(denied('secret_leak'), null);
    if (current === null) return this.#refuse(denied('not_ready', 'No policy is loaded.'), at);
    if (draining()) return this.#refuse(denied('draining'), at);
    const identity = identify({ address: this.#link.address, credential: NO_CREDENTIAL }, current);
    if (isDenied(identity)) return this.#refuse(identity, at);
    const target: Target = { ...at, via: 'transparent-tls' };
    const record = newRecord({ flow: this.#flow, client: this.#link.address, via: target.via });
    record.at = target;
    record.policy = current.set.hash;
    record.identity = identity;
    openConnect(this.#deps, {
      link: this.#link,
      record,
      answers: TLS_ANSWERS,
      identity,
      target,
      early: hello,
      clientEnded: false,
    });
  }

  #refuse(why: Denied, at: Authority | null): void {
    refuseLink(this.#link, { record: this.#record(at), why, answer: tlsAlert(why) });
  }

  #record(at: Authority | null): FlowRecord {
    const client = this.#link.address;
    const record = this.#deps.newRecord({ flow: this.#flow, client, via: 'transparent-tls' });
    this.#deps.describe(client, record);
    record.at = at;
    return record;
  }
}

/** Serves a redirected connection to port 80: every request goes to the host that its Host field names. */
export function beginTransparentHttp(deps: TransparentDeps, link: ClientLink, flow: string): LinkUser {
  const session = deps.openSession({
    side: linkSide(link),
    client: link.address,
    flow,
    via: 'transparent-http',
    onHead: (turn) => serve(deps, link, turn),
    onFault: (record) => deps.describe(link.address, record),
  });
  return sessionUser(session);
}

function serve(deps: TransparentDeps, link: ClientLink, turn: SessionTurn): void {
  const client = link.address;
  const found = targetOf(turn.current);
  const leak = deps.holdsKey(`${turn.current.host ?? ''} ${turn.current.target}`);
  const tellable = isDenied(found) || leak ? null : found.at;
  const refuse = (why: Denied): void => {
    const record = turn.record();
    record.at = tellable;
    record.method = turn.current.method;
    deps.describe(client, record);
    turn.refuse(record, why);
  };
  const current = deps.snapshot();
  if (current === null) return refuse(denied('not_ready', 'No policy is loaded.'));
  if (deps.draining()) return refuse(denied('draining'));
  const identity = deps.identify({ address: client, credential: NO_CREDENTIAL }, current);
  if (isDenied(identity)) return refuse(identity);
  if (leak) return refuse(denied('secret_leak'));
  if (isDenied(found)) return refuse(found);
  const target: Target = { ...found.at, via: 'transparent-http' };
  return turn.forward({ identity, target, path: found.path, secure: false, seat: link.seat });
}

/** Where the request wants to go, from a form that an origin server accepts (RFC 9112 sections 3.2.1, 3.2.2). */
function targetOf(head: RequestHead): { at: Authority; path: string } | Denied {
  if (head.method === 'CONNECT') return denied('method_refused', 'CONNECT belongs on the proxy port.');
  const asked = parseRequestTarget(head);
  if (isDenied(asked)) return asked;
  if (asked.form === 'absolute' && asked.scheme === 'http') {
    return checkHost(head, asked.authority, HTTP_PORT) ?? { at: asked.authority, path: asked.path };
  }
  if (asked.form !== 'origin') {
    return denied('bad_request', 'Only requests for a path are served on this port.');
  }
  if (head.host === null) return denied('bad_request', 'The request names no Host.');
  const at = parseAuthority(head.host, HTTP_PORT);
  return isDenied(at) ? denied('bad_authority', 'The Host field is malformed.') : { at, path: asked.path };
}
