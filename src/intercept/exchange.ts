/**
 * One request and its response, from the parsed head to the last byte: judged, swapped, recorded, forwarded,
 * streamed both ways. Used for intercepted TLS and for plain HTTP; `session.ts` owns the client's connection,
 * `dial/pool.ts` the upstream's. Bodies are never held beyond the piece that came with the head.
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Clock } from '../base/clock.ts';
import type { LiveFlow, LiveRegistry } from '../base/live.ts';
import type { Gate, SessionSide } from '../base/stages.ts';
import type { UpstreamConn, UpstreamPool, UpstreamUser, Vet } from '../base/upstream.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied, REASONS } from '../flow/reason.ts';
import { authorityText, type Target } from '../flow/target.ts';
import type { Facts, Treat } from '../flow/verdict.ts';
import type { IdentityBindings } from '../secrets/binding.ts';
import { substituteHead } from '../secrets/substitute.ts';
import type { RequestHead } from '../wire/http1-parse.ts';
import { chunkHeader, LAST_CHUNK, rebuildRequestHead } from '../wire/http1-write.ts';
import { refusal } from '../wire/reply.ts';
import { Output } from './output.ts';
import { ResponseLeg } from './response-leg.ts';

export type ExchangeDeps = {
  readonly gate: Gate;
  readonly pool: UpstreamPool;
  readonly vet: Vet;
  readonly live: LiveRegistry;
  readonly clock: Clock;
  /** placeholders and values of one identity under the policy in force */
  readonly bindings: (identity: Identity) => IdentityBindings;
  /** is the identity still good, as of now */
  readonly stillValid: (identity: Identity, client: string) => Denied | null;
  /** id of the policy in force */
  readonly snapshotId: () => string;
  /** hash of the policy in force, as records name it */
  readonly policyHash: () => string;
  readonly draining: () => boolean;
};

export type ExchangeJob = {
  readonly head: RequestHead;
  readonly identity: Identity;
  readonly target: Target;
  /** origin-form */
  readonly path: string;
  /** towards the upstream: TLS */
  readonly secure: boolean;
  readonly client: string;
  readonly side: SessionSide;
  readonly record: FlowRecord;
  /** the exchange is over; may another request follow on the client's connection */
  readonly done: (keepAlive: boolean) => void;
};

type Outcome = 'done' | 'refused' | 'cut' | 'timeout' | 'client_abort' | 'upstream_abort';

/** A reason of our own: without one every abort makes an exception with a stack. */
const GONE = 'the exchange is over';
// RFC 9110 section 9.2.2; a request with a body is never sent twice, whatever its method.
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

export class Exchange implements UpstreamUser, LiveFlow {
  readonly id: string;
  readonly identity: Identity;
  readonly client: string;
  readonly target: Target;
  readonly treat: Treat;
  readonly startedAt: number;
  readonly facts: Facts;
  bytesUp = 0;
  readonly #deps: ExchangeDeps;
  readonly #job: ExchangeJob;
  readonly #leg: ResponseLeg;
  readonly #hasBody: boolean;
  readonly #up = new Output();
  readonly #abort = new AbortController();
  #permit: Permit | null = null;
  #conn: UpstreamConn | null = null;
  #head = '';
  #requestDone: boolean;
  /** the request was written to the upstream */
  #sent = false;
  #retried = false;
  #over = false;
  #refusedBytes = 0;
  /** monotonic milliseconds: last byte either way, waiting for a connection in all */
  #activeAt: number;
  #connectingMs = 0;
  #overheadMs: number | null = null;

  constructor(deps: ExchangeDeps, job: ExchangeJob) {
    this.#deps = deps;
    this.#job = job;
    this.id = job.record.requestId;
    this.identity = job.identity;
    this.client = job.client;
    this.target = job.target;
    this.treat = job.secure ? 'intercept' : 'plain';
    this.startedAt = deps.clock.now();
    this.facts = { method: job.head.method, path: job.path, protocol: 'http/1.1' };
    this.#hasBody = job.head.framing.kind !== 'none';
    this.#requestDone = !this.#hasBody;
    this.#activeAt = job.record.startedAt;
    this.#leg = new ResponseLeg({
      method: job.head.method,
      clientMinor: job.head.minor,
      keepAlive: () => job.head.keepAlive && this.#requestDone && !deps.draining(),
    });
  }

  get bytesDown(): number {
    return this.#leg.bytes + this.#refusedBytes;
  }

  /** Judges, swaps and records; goes upstream once the record stands in the file (invariant I4). */
  start(): void {
    const { record, head, identity, target, secure } = this.#job;
    record.identity = identity;
    record.at = target;
    record.method = head.method;
    record.path = this.facts.path;
    record.policy = this.#deps.policyHash();
    record.treat = this.treat;
    this.#deps.live.add(this);
    const permit = this.#judge();
    if ('kind' in permit) return this.#refuse(permit, 'refused');
    const host = hostField(target, secure);
    const dropOverrides = permit.verdict.judgesRequests;
    const swapped = substituteHead({
      head: rebuildRequestHead(head, { path: this.facts.path, host, dropOverrides }),
      bindings: this.#deps.bindings(identity),
      at: target,
      secure,
    });
    if (swapped.kind === 'deny') return this.#refuse(swapped, 'refused');
    this.#permit = permit;
    this.#head = swapped.head;
    record.keys = swapped.used;
    if (this.#hasBody) this.#job.side.pause();
    this.#reserve(permit);
  }

  // ---- the client's side, driven by the session

  body(bytes: Buffer): void {
    this.bytesUp += bytes.length;
    if (this.#over) return;
    if (this.#job.head.framing.kind !== 'chunked') return this.#up.add(bytes);
    this.#up.add(chunkHeader(bytes.length));
    this.#up.add(bytes);
    this.#up.add('\r\n');
  }

  bodyEnd(): void {
    if (this.#hasBody && this.#job.head.framing.kind === 'chunked') this.#up.add(LAST_CHUNK);
    this.#requestDone = true;
  }

  /** Called once after each read from the client: sends what `body` collected. */
  flush(): void {
    if (this.#conn === null || !this.#sent) return;
    this.#activeAt = this.#deps.clock.mono();
    if (!this.#up.flush(this.#conn.socket)) this.#job.side.pause();
  }

  /** The framing of the body broke: the upstream must never see a complete request. */
  clientFault(why: Denied): void {
    this.#refuse(why, 'refused');
  }

  drained(): void {
    this.#conn?.socket.resume();
  }

  clientGone(): void {
    this.#settle('client_abort', null, this.#leg.status);
  }

  /** Ends an exchange in which nothing moved for as long as the rule allows. */
  tick(now: number): void {
    const idleMs = this.#permit?.verdict.idleMs ?? Number.POSITIVE_INFINITY;
    if (now - this.#activeAt < idleMs) return;
    this.#refuse(denied(this.#requestDone ? 'upstream_timeout' : 'client_timeout'), 'timeout');
  }

  cut(why: Denied): void {
    this.#refuse(why, 'cut');
  }

  // ---- the way up

  #judge(): Permit | Denied {
    const { identity, target, client, record, head, secure } = this.#job;
    if (head.upgrade !== null) return denied('upgrade_refused');
    const invalid = this.#deps.stillValid(identity, client);
    if (invalid !== null) return invalid;
    const scheme = secure ? 'https' : 'http';
    return this.#deps.gate.request({
      flow: record.flow,
      identity,
      client,
      target,
      scheme,
      facts: this.facts,
    });
  }

  /** A connection that is open already, or addresses that may be dialled: known before the decision is written. */
  #reserve(permit: Permit): void {
    const idle = this.#deps.pool.take(permit, this.#job.secure);
    if (idle !== null) {
      this.#conn = idle;
      idle.user = this;
      return this.#record(permit);
    }
    this.#deps.vet(permit, this.#abort.signal).then(
      (addresses) => ('kind' in addresses ? this.#refuse(addresses, 'refused') : this.#record(permit)),
      () => this.#refuse(denied('dns_failed'), 'refused'),
    );
  }

  #record(permit: Permit): void {
    if (this.#over) return;
    const label = this.#deps.gate.label(this.identity.group, this.target);
    this.#job.record.allow(permit.verdict, { label, treat: this.treat }, (failed) => this.#recorded(failed));
  }

  #recorded(failed: Error | null): void {
    if (this.#over || this.#permit === null) return;
    if (failed !== null) return this.#refuse(denied('audit_unavailable'), 'refused');
    if (this.#permit.snapshotId !== this.#deps.snapshotId()) {
      const again = this.#judge();
      if ('kind' in again) return this.#refuse(again, 'cut');
      this.#permit = again;
    }
    if (this.#conn !== null) return this.#send(this.#conn);
    return this.#open(this.#permit);
  }

  #open(permit: Permit): void {
    const from = this.#deps.clock.mono();
    this.#deps.pool.open(permit, this.#job.secure, this.#abort.signal).then(
      (opened) => {
        this.#connectingMs += this.#deps.clock.mono() - from;
        if ('kind' in opened) return this.#refuse(opened, 'refused');
        if (this.#over) return this.#deps.pool.discard(opened);
        return this.#send(opened);
      },
      () => this.#refuse(denied('connect_failed'), 'refused'),
    );
  }

  #send(conn: UpstreamConn): void {
    this.#conn = conn;
    conn.user = this;
    this.#sent = true;
    this.#activeAt = this.#deps.clock.mono();
    this.#overheadMs = this.#activeAt - this.#job.record.startedAt - this.#connectingMs;
    const first = new Output();
    first.add(this.#head);
    first.append(this.#up);
    const more = first.flush(conn.socket);
    if (this.#hasBody && more) this.#job.side.resume();
  }

  // ---- the way down, driven by the upstream connection

  onData(bytes: Buffer): void {
    // Nothing was asked on this connection yet: whatever it says belongs to nobody.
    if (!this.#sent) return this.#dropReserved();
    this.#activeAt = this.#deps.clock.mono();
    this.#leg.feed(bytes);
    this.#passDown();
  }

  onDrain(): void {
    this.#job.side.resume();
  }

  onEnd(): void {
    if (!this.#sent) return this.#dropReserved();
    if (this.#repeat()) return;
    this.#leg.finish();
    this.#passDown();
  }

  onClose(): void {
    if (this.#over || !this.#sent) return this.#dropReserved();
    if (this.#repeat()) return;
    this.#conn = null;
    this.#refuse(denied('upstream_bad_response', 'The upstream closed the connection.'), 'upstream_abort');
  }

  /**
   * A pooled connection may have been closed by the upstream just as we wrote, with FIN or reset. Only a request
   * that is harmless to repeat, and that nothing was answered to, is sent once more (RFC 9110 section 9.2.2).
   */
  #repeat(): boolean {
    const reused = (this.#conn?.uses ?? 0) > 1;
    const harmless = !this.#hasBody && IDEMPOTENT.has(this.facts.method);
    if (!reused || !harmless || this.#retried || this.#leg.started || this.#permit === null) return false;
    this.#retried = true;
    this.#sent = false;
    this.#dropReserved();
    this.#open(this.#permit);
    return true;
  }

  #dropReserved(): void {
    const conn = this.#conn;
    this.#conn = null;
    if (conn === null) return;
    conn.user = null;
    this.#deps.pool.discard(conn);
  }

  #passDown(): void {
    if (this.#over) return;
    const leg = this.#leg;
    if (leg.failed !== null) {
      leg.recall();
      return this.#refuse(leg.failed, 'upstream_abort');
    }
    if (!leg.flush(this.#job.side) && !leg.complete) this.#conn?.socket.pause();
    if (leg.complete) this.#settle('done', null, leg.status);
  }

  // ---- every way out

  /** Answers with a refusal while that is possible, else breaks the connection off. */
  #refuse(why: Denied, ended: Outcome): void {
    if (this.#over) return;
    const { record, side, head, target } = this.#job;
    record.deny(why);
    if (this.#leg.status !== 0) {
      this.#settle(ended, why, this.#leg.status);
      return side.destroy();
    }
    // What follows a refused upgrade may be the other protocol's bytes: it is never read as HTTP (RFC 9931).
    const close = !this.#requestDone || !head.keepAlive || head.upgrade !== null;
    const bytes = refusal({
      denied: why,
      requestId: record.requestId,
      group: this.identity.group,
      host: authorityText(target),
      close,
      headOnly: head.method === 'HEAD',
    });
    side.write(bytes);
    this.#refusedBytes = bytes.length;
    this.#settle(ended, why, REASONS[why.reason].status, !close);
  }

  #settle(ended: Outcome, why: Denied | null, status: number, keepAlive = this.#leg.keepAlive): void {
    if (this.#over) return;
    this.#over = true;
    this.#deps.live.drop(this);
    this.#letGo(ended);
    this.#job.record.end({
      status,
      ended,
      reason: why?.reason ?? null,
      bytesUp: this.bytesUp,
      bytesDown: this.bytesDown,
      overheadMs: this.#overheadMs,
    });
    if (ended !== 'client_abort') this.#job.done(keepAlive);
  }

  #letGo(ended: Outcome): void {
    const conn = this.#conn;
    this.#conn = null;
    if (conn === null) return this.#abort.abort(GONE);
    conn.user = null;
    if (ended === 'done' && this.#leg.reusable && this.#requestDone) this.#deps.pool.release(conn);
    else this.#deps.pool.discard(conn);
  }
}

/** The Host field for the upstream: without the scheme's default port (RFC 9110 section 7.2). */
function hostField(target: Target, secure: boolean): string {
  const text = authorityText(target);
  const suffix = secure ? ':443' : ':80';
  return target.port === (secure ? 443 : 80) ? text.slice(0, -suffix.length) : text;
}
