/**
 * HTTP on the proxy port: tells what each request is (CONNECT, a plain request to a host, a question to the
 * proxy itself), identifies who asks, and hands over. One HTTP session may hold requests of all three kinds.
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import { HTTP_ANSWERS } from '../base/answer.ts';
import { type ClientLink, linkSide, sessionUser } from '../base/link.ts';
import type { OpenSession, SessionTurn } from '../base/stages.ts';
import type { Snapshot } from '../config/snapshot.ts';
import type { Credential, Identity } from '../flow/identity.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Authority, Target, Via } from '../flow/target.ts';
import { parseAuthority } from '../wire/authority.ts';
import { HEAD_LIMITS } from '../wire/http1-fields.ts';
import {
  checkHost,
  fieldValue,
  parseRequestHead,
  parseRequestTarget,
  type RequestHead,
  type RequestTarget,
} from '../wire/http1-parse.ts';
import { type Asker, type AskerDeps, askerOf } from './asker.ts';
import { type ConnectDeps, openConnect } from './connect.ts';
import type { SelfAnswer } from './self.ts';

export type HttpDeps = ConnectDeps &
  AskerDeps & {
    readonly openSession: OpenSession;
    readonly credentialOf: (value: string | null) => Credential;
    /** fills in what the source address tells of a client */
    readonly describe: (client: string, record: FlowRecord) => void;
    /** does a text hold a real key, current or revoked */
    readonly holdsKey: (text: string) => boolean;
    /** of a CONNECT */
    readonly newRecord: (ask: { flow: string; client: string; via: Via }) => FlowRecord;
    readonly answerSelf: (ask: {
      method: string;
      path: string;
      identity: Identity | Denied;
      snapshot: Snapshot;
      proxyUrl: string;
      credential: Credential;
    }) => SelfAnswer | Denied;
  };

const CONNECT = 'CONNECT ';
const EMPTY_LINE: Buffer = Buffer.from('\r\n\r\n');
const NOTHING: Buffer = Buffer.alloc(0);
const MAX_HEAD_BYTES = HEAD_LIMITS.maxHeadBytes - EMPTY_LINE.length;
/** Asked every few seconds by whoever watches the container. */
const HEALTH_PATH = '/healthz';

/**
 * Serves the connection as HTTP/1.1 from now on. `flow`: id that all its records share; `first`: the bytes that have
 * come, in the shared buffer.
 */
export function serveHttp(deps: HttpDeps, link: ClientLink, flow: string, first: Buffer): void {
  const http = new HttpFront(deps, link, flow);
  if (http.connectsAtOnce(first)) return;
  const session = deps.openSession({
    side: linkSide(link),
    client: link.address,
    flow,
    via: 'absolute-form',
    onHead: (turn) => http.onHead(turn),
    onFault: (record) => http.describe(record, null),
  });
  link.user = sessionUser(session);
  link.user.onBytes(first);
}

class HttpFront {
  readonly #deps: HttpDeps;
  readonly #link: ClientLink;
  readonly #flow: string;

  constructor(deps: HttpDeps, link: ClientLink, flow: string) {
    this.#deps = deps;
    this.#link = link;
    this.#flow = flow;
  }

  /**
   * The usual CONNECT comes whole in one read, and nothing follows it on HTTP: then no session is made that would end
   * at once, which is a fifth of what a tunnel costs. False: anything else, which the session looks at.
   */
  connectsAtOnce(first: Buffer): boolean {
    const end = first.indexOf(EMPTY_LINE);
    if (end < 0 || end > MAX_HEAD_BYTES || first.toString('latin1', 0, CONNECT.length) !== CONNECT)
      return false;
    const head = parseRequestHead(first.toString('latin1', 0, end));
    const asked = 'kind' in head ? head : parseRequestTarget(head);
    if ('kind' in head || 'kind' in asked || asked.form !== 'authority') return false;
    const asker = this.#formProblem(head, asked) ?? this.#asker(head);
    if ('kind' in asker || 'kind' in asker.identity) return false;
    const from = end + EMPTY_LINE.length;
    const early = from === first.length ? NOTHING : Buffer.from(first.subarray(from));
    const target: Target = { ...asked.authority, via: 'connect' };
    this.#connect(target, { ...asker, identity: asker.identity }, { early, clientEnded: false });
    return true;
  }

  onHead(turn: SessionTurn): void {
    const head = turn.current;
    const asked = parseRequestTarget(head);
    if ('kind' in asked) return this.#refuse(turn, asked, null);
    const problem = this.#formProblem(head, asked);
    if (problem !== null) return this.#refuse(turn, problem, tellable(asked, problem));
    const asker = this.#asker(head);
    if ('kind' in asker) return this.#notReady(turn, asked, asker);
    switch (asked.form) {
      case 'authority':
        return this.#connectLater(turn, { ...asked.authority, via: 'connect' }, asker);
      case 'absolute':
        return this.#absolute(turn, asked, asker);
      case 'origin':
        return this.#self(turn, asked.path, asker);
      case 'asterisk':
        return this.#refuse(turn, denied('bad_request', 'OPTIONS * is not answered here.'), null);
    }
  }

  /** Fills in what is known of a client whose request is not served. */
  describe(record: FlowRecord, at: Authority | null): void {
    record.at = at;
    this.#deps.describe(this.#link.address, record);
  }

  #formProblem(head: RequestHead, asked: RequestTarget): Denied | null {
    if ('authority' in asked && this.#deps.holdsKey(head.target)) {
      return denied('secret_leak', 'The request holds a real key. Send the placeholder instead.');
    }
    if (asked.form === 'authority') return checkHost(head, asked.authority, asked.authority.port);
    if (asked.form !== 'absolute') return null;
    return checkHost(head, asked.authority, asked.scheme === 'https' ? 443 : 80);
  }

  /** Who asks, or why nobody can be let in now. */
  #asker(head: RequestHead): Asker | Denied {
    return askerOf(this.#deps, this.#link.address, this.#credential(head));
  }

  #credential(head: RequestHead): Credential {
    const given = head.special.filter((field) => field.name === 'proxy-authorization');
    if (given.length > 1) return { kind: 'malformed' };
    const value = given[0]?.value ?? null;
    // A question to the proxy itself: `curl http://label:TOKEN@sallyport:8080/env` sends the other field.
    const asksUs = value === null && head.target.startsWith('/');
    return this.#deps.credentialOf(asksUs ? fieldValue(head, 'authorization') : value);
  }

  #notReady(turn: SessionTurn, asked: RequestTarget, why: Denied): void {
    if (asked.form === 'origin' && asked.path === HEALTH_PATH) {
      return turn.answer(null, { type: 'text/plain', body: 'starting\n' });
    }
    return this.#refuse(turn, why, 'authority' in asked ? asked.authority : null);
  }

  #connectLater(turn: SessionTurn, target: Target, asker: Asker): void {
    const { identity } = asker;
    if ('kind' in identity) return turn.refuse(this.#connectRecord(target, asker), identity);
    const { rest, ended } = turn.detach();
    return this.#connect(target, { ...asker, identity }, { early: rest, clientEnded: ended });
  }

  #connect(
    target: Target,
    asker: Asker & { identity: Identity },
    came: { early: Buffer; clientEnded: boolean },
  ): void {
    const record = this.#connectRecord(target, asker);
    const { identity } = asker;
    record.identity = identity;
    const link = this.#link;
    openConnect(this.#deps, { link, record, answers: HTTP_ANSWERS, identity, target, ...came });
  }

  #connectRecord(target: Target, asker: Asker): FlowRecord {
    const record = this.#deps.newRecord({ flow: this.#flow, client: this.#link.address, via: 'connect' });
    record.at = target;
    record.method = 'CONNECT';
    record.policy = asker.snapshot.set.hash;
    return record;
  }

  /**
   * For an `https://` URL the hop from the sandbox is in the clear, as the client chose; from here on it is verified TLS
   * (older axios asks so for everything).
   */
  #absolute(turn: SessionTurn, asked: RequestTarget & { form: 'absolute' }, asker: Asker): void {
    const { identity } = asker;
    if ('kind' in identity) return this.#refuse(turn, identity, asked.authority);
    const target: Target = { ...asked.authority, via: 'absolute-form' };
    const secure = asked.scheme === 'https';
    return turn.forward({ identity, target, path: asked.path, secure, seat: this.#link.seat });
  }

  #self(turn: SessionTurn, path: string, asker: Asker): void {
    const { method } = turn.current;
    const proxyUrl = this.#ownUrl(turn.current);
    const answer =
      typeof proxyUrl === 'string' ? this.#deps.answerSelf({ method, path, proxyUrl, ...asker }) : proxyUrl;
    if (path === HEALTH_PATH && !('kind' in answer)) return turn.answer(null, answer);
    // Nobody is to be reached through the proxy: there is no way in to name.
    const record = turn.record(null);
    this.describe(record, null);
    record.method = method;
    record.path = path;
    if (!('kind' in asker.identity)) record.identity = asker.identity;
    return 'kind' in answer ? turn.refuse(record, answer) : turn.answer(record, answer);
  }

  /** The proxy as this client reached it: what its Host field names, else the local address. */
  #ownUrl(head: RequestHead): string | Denied {
    if (head.host === null) return `http://${this.#link.localAuthority}`;
    const at = parseAuthority(head.host, 80);
    if ('kind' in at && at.kind === 'deny') return denied('bad_request', 'The Host field is malformed.');
    return `http://${head.host}`;
  }

  #refuse(turn: SessionTurn, why: Denied, at: Authority | null): void {
    const record = turn.record();
    this.describe(record, at);
    record.method = turn.current.method;
    return turn.refuse(record, why);
  }
}

/**
 * The host that was asked for, unless a real key was written there: it would stand in answer, record and metric. Host
 * names are folded to lower case and keys are not, so that the host itself does not tell.
 */
function tellable(asked: RequestTarget, problem: Denied): Authority | null {
  return 'authority' in asked && problem.reason !== 'secret_leak' ? asked.authority : null;
}
