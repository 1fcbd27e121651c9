/**
 * How stages meet without importing each other: function types that `proxy.ts` fills in. They stand here and
 * not in `flow/` because they name sockets and parsed heads.
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Approval } from '../flow/approval.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import type { Denied } from '../flow/reason.ts';
import type { Authority, Target, Via } from '../flow/target.ts';
import type { Ask, Facts } from '../flow/verdict.ts';
import type { RequestHead } from '../wire/http1-parse.ts';
import type { Answerer } from './answer.ts';
import type { ClientLink } from './link.ts';
import type { Seat } from './seats.ts';
import type { Vetted } from './upstream.ts';

/** `gate/gate.ts`: judges, and mints the Permit. */
export type Gate = {
  /** stage one: may this identity open a connection to the target */
  connect(ask: { flow: string; identity: Identity; client: string; target: Target }): Permit | Denied;
  /** stage two: may this one request be sent; `Ask`: if a person says so, and nobody has (`approval`) */
  request(ask: {
    flow: string;
    identity: Identity;
    client: string;
    target: Target;
    scheme: 'https' | 'http';
    facts: Facts;
    approval?: Approval | null;
  }): Permit | Ask | Denied;
  /** the matching rule's host pattern, for metric labels */
  label(group: string, at: Authority): string | null;
};

/** What came in by CONNECT (later: SOCKS, transparent) and was let in. */
export type Admitted = {
  readonly link: ClientLink;
  readonly permit: Permit;
  readonly record: FlowRecord;
  /** how this client hears of success and refusal */
  readonly answers: Answerer;
  /** the judged addresses of the target */
  readonly vetted: Vetted;
  /** bytes that came after what the client asked with, so far */
  readonly early: Buffer;
  /** the client has already ended its side */
  readonly clientEnded: boolean;
};

/** `tunnel/tunnel.ts` and `intercept/terminate.ts`: carry an admitted connection to its end. */
export type Carry = (job: Admitted) => void;

/** A connection that is refused before it carries anything. */
export type RefusedConnection = Omit<Admitted, 'permit' | 'vetted'> & {
  readonly identity: Identity;
  readonly target: Target;
  readonly why: Denied;
  /** the policy expects TLS there */
  readonly tls: boolean;
};

/** `intercept/refuse-inside.ts`: takes the connection over and tells the refusal inside TLS. False: tell it as ever. */
export type RefuseInside = (job: RefusedConnection) => boolean;

/** The client's side of an HTTP session: a plain socket or the TLS on top of one. */
export type SessionSide = {
  /** false: wait for `drained` */
  write(bytes: Buffer | string, encoding?: 'latin1'): boolean;
  /** tells how much of what was written has not left */
  readonly unsent: { readonly writableLength: number };
  /** sends what is written, then FIN (and close_notify) */
  end(): void;
  /** nothing more may reach the client, and what did must not look complete */
  destroy(): void;
  pause(): void;
  resume(): void;
};

/** One HTTP connection of a client, as the stage that owns its bytes drives it. */
export type Session = {
  feed(bytes: Buffer): void;
  /** the client ended its side */
  finish(): void;
  drained(): void;
  closed(): void;
  /** `now`: monotonic milliseconds */
  tick(now: number): void;
};

/** What a session's owner may do with the request whose head was just read: exactly one of the methods. */
export type SessionTurn = {
  readonly current: RequestHead;
  /** a record for this request, for `refuse` and `answer` */
  record(via?: Via | null): FlowRecord;
  /** sends it on as `identity`'s to `target`, judged in full and recorded; `seat`: see `admission.ts` */
  forward(to: {
    identity: Identity;
    target: Target;
    path: string;
    secure: boolean;
    seat?: Seat | null;
  }): void;
  refuse(record: FlowRecord, why: Denied): void;
  /** `null`: health checks leave no record */
  answer(record: FlowRecord | null, reply: { type: string; body: string }): void;
  /** leaves HTTP: the bytes that were read past the head, and whether the client has ended its side */
  detach(): { rest: Buffer; ended: boolean };
};

/** `intercept/session.ts`: an HTTP/1.1 connection of a client. */
export type OpenSession = (ask: {
  readonly side: SessionSide;
  /** client address */
  readonly client: string;
  /** id that all records of this connection share */
  readonly flow: string;
  readonly via: Via;
  readonly onHead: (turn: SessionTurn) => void;
  /** fills in what is known of the client before a malformed request is recorded */
  readonly onFault: (record: FlowRecord) => void;
}) => Session;
