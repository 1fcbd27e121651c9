/**
 * One request and its response, from the parsed head to the last byte: judged, swapped, recorded, forwarded,
 * streamed both ways. Used for intercepted TLS and for plain HTTP; `session.ts` owns the client's connection,
 * `dial/pool.ts` the upstream's. Bodies stream; short ones that keys may stand in are held.
 */
import { SPENT, withLifted } from '../base/admission.ts';
import type { LiveFlow } from '../base/live.ts';
import { refusalFor } from '../base/refuse.ts';
import { StallWatch } from '../base/stall.ts';
import type { UpstreamUser } from '../base/upstream.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied, REASONS } from '../flow/reason.ts';
import type { HostKeys } from '../secrets/host-keys.ts';
import { afterThrow } from './after-throw.ts';
import { ExchangeFacts } from './exchange-facts.ts';
import type { ExchangeDeps, ExchangeJob, Outcome } from './exchange-job.ts';
import { rewriteFor, scrubFor } from './key-traffic.ts';
import { OUTDATED, readyRequest } from './ready-request.ts';
import { RequestLeg } from './request-leg.ts';
import { beginLeg, type ResponseLeg } from './response-leg.ts';
import { upstreamTrailers } from './upstream-head.ts';
import { UpstreamSlot } from './upstream-slot.ts';

export class Exchange extends ExchangeFacts implements UpstreamUser, LiveFlow {
  readonly #deps: ExchangeDeps;
  readonly #job: ExchangeJob;
  readonly #up: RequestLeg;
  /** kept with the upstream connection; null before there is one */
  #down: ResponseLeg | null = null;
  readonly #slot: UpstreamSlot;
  #head = '';
  #keys: HostKeys | null = null;
  #retried = false;
  #over = false;
  /** the client's connection is being broken off by us */
  #breaking = false;
  #refusedBytes = 0;
  /** last byte either way, monotonic milliseconds */
  #activeAt: number;
  #overheadMs: number | null = null;
  #stall: StallWatch | null = null;

  constructor(deps: ExchangeDeps, job: ExchangeJob) {
    super(deps, job);
    this.#deps = deps;
    this.#job = job;
    this.#up = new RequestLeg(job.head);
    this.#slot = new UpstreamSlot(deps, this, job);
    this.#activeAt = job.record.startedAt + job.waitedMs;
  }

  get bytesUp(): number {
    return this.upgrade?.bytesUp ?? this.#up.bytes;
  }

  get bytesDown(): number {
    return (this.#down?.bytes ?? 0) + (this.upgrade?.bytesDown ?? 0) + this.#refusedBytes;
  }

  /** Judges, swaps and records; goes upstream once the record stands in the file (invariant I4). */
  start(): void {
    const ready = readyRequest(this.#deps, this.#job, this);
    if ('kind' in ready && ready.kind === 'ask') return this.#job.hold(this.#job, ready, this);
    this.#deps.live.add(this);
    if ('kind' in ready) return this.#refuse(ready, 'refused');
    const { permit, head, keys } = ready;
    this.permit = permit;
    this.#head = head;
    this.#keys = keys;
    if (keys === null || !(keys.inBody || ready.resigning !== null)) return this.#slot.reserve(permit);
    const of = { deps: this.#deps, job: this.#job, exchange: this };
    const whole = (): void => this.#slot.reserve(permit);
    const problem = rewriteFor({ ...ready, keys }, this.#up, { ...of, whole });
    if (problem !== null) return this.#refuse(problem, 'refused');
    return this.#up.whole ? undefined : whole();
  }

  // ---- the client's side, driven by the session

  body(bytes: Buffer): void {
    if (!this.#over && !this.#slot.use.up(bytes.length)) this.cut(SPENT);
    if (!this.#over) this.#up.add(bytes);
  }

  bodyEnd(trailers: string): void {
    if (this.#over) return;
    const kept = trailers === '' ? '' : upstreamTrailers(trailers, this.#deps.bindings(this.identity));
    // The upstream must not see the end of a body whose trailers are refused.
    if (typeof kept !== 'string') return this.#refuse(kept, 'refused');
    this.#up.end(kept);
  }

  /** Called once after each read from the client: sends what `body` collected, or has the client wait with the rest. */
  flush(): void {
    const { conn } = this.#slot;
    if (this.#up.whole) this.#activeAt = this.#deps.clock.mono();
    else if (!this.#up.sent && !this.#up.done && !this.#over) this.#job.side.pause();
    if (conn === null || !this.#up.sent) return;
    this.#activeAt = this.#deps.clock.mono();
    if (!this.#up.flush(conn.socket)) this.#job.side.pause();
  }

  drained(): void {
    this.#down?.resume();
    if (this.upgrade?.drained() !== false) this.#slot.conn?.socket.resume();
  }

  clientGone(): void {
    if (this.#breaking) return;
    if (this.permit !== null && !this.#job.record.decided) this.#allow(this.permit, () => {});
    this.#settle('client_abort', null, this.#down?.status ?? 0);
  }

  /** Ends an exchange in which nothing moves, or one side takes nothing, for as long as the rule allows. */
  tick(now: number): void {
    if (this.permit === null) return;
    this.#stall ??= new StallWatch();
    const { idleMs } = this.permit.verdict;
    const upstream = this.#slot.conn?.socket ?? null;
    const activeAt = Math.max(this.#activeAt, this.upgrade?.activeAt ?? 0);
    const stalled = this.#stall.look(now, { activeAt, idleMs, client: this.#job.side.unsent, upstream });
    if (stalled === null) return;
    const client = stalled === 'client' || (stalled === 'quiet' && !this.#up.done);
    this.#refuse(denied(client ? 'client_timeout' : 'upstream_timeout'), 'timeout');
  }

  cut(why: Denied, ended: Outcome = 'cut'): void {
    this.#refuse(why, ended);
  }

  // ---- the way up

  #allow(permit: Permit, written: (failed: Error | null) => void): void {
    const label = this.#deps.gate.label(this.identity.group, this.target);
    const verdict = withLifted(permit.verdict, this.#slot.lifted);
    this.#job.record.allow(verdict, { label, treat: this.treat }, written);
  }

  /** From the slot: leave to go on, and later, where none was open, a connection. */
  granted(problem: Denied | null): void {
    try {
      if (problem !== null) this.#refuse(problem, 'refused');
      else if (this.permit === null) return;
      else if (!this.#job.record.decided) this.#allow(this.permit, this.#recorded);
      else if (this.permit.snapshotId !== this.#deps.snapshotId()) this.#refuse(OUTDATED, 'cut');
      else this.#send();
    } catch (error) {
      this.#fail(error);
    }
  }

  readonly #recorded = (failed: Error | null): void => {
    if (this.#over || this.permit === null) return;
    try {
      if (failed !== null) this.#refuse(denied('audit_unavailable'), 'refused');
      // Judged, swapped and recorded under a policy that is gone: the client asks again.
      else if (this.permit.snapshotId !== this.#deps.snapshotId()) this.#refuse(OUTDATED, 'cut');
      else if (this.#slot.conn === null) this.#slot.open(this.permit);
      else this.#send();
    } catch (error) {
      this.#fail(error);
    }
  };

  #send(): void {
    const { conn, use } = this.#slot;
    if (conn === null) return;
    // URLs and fields carry data out as well as bodies do.
    if (!use.up(this.#head.length)) return this.cut(SPENT);
    this.#activeAt = this.#deps.clock.mono();
    this.#overheadMs = this.#activeAt - this.#job.record.startedAt - this.#slot.waitedMs;
    const { head: request } = this.#job;
    const { draining } = this.#deps;
    const scrub = scrubFor(this.#keys, this.#slot, { deps: this.#deps, job: this.#job, exchange: this });
    this.#down = beginLeg(conn, { request, up: this.#up, draining, upgrade: this.upgrade, scrub });
    if (this.#up.send(this.#head, conn.socket) && this.#up.hasBody) this.#job.side.resume();
  }

  // ---- the way down, driven by the upstream connection

  onData(bytes: Buffer): void {
    // Nothing was asked on this connection yet: whatever it says belongs to nobody.
    if (!this.#up.sent) return this.#slot.drop();
    this.#activeAt = this.#deps.clock.mono();
    this.#down?.feed(bytes);
    this.#passDown();
  }

  onDrain(): void {
    this.#up.resume();
    this.#job.side.resume();
  }

  /** Runs what a decoder brought, which no read did, and sends what is ready then. */
  apart(step: () => void): void {
    try {
      step();
      this.flush();
      this.#passDown();
    } catch (error) {
      this.#fail(error);
    }
  }

  onEnd(): void {
    if (!this.#up.sent) return this.#slot.drop();
    if (this.#repeat()) return;
    this.#down?.finish();
    this.#passDown();
  }

  onClose(): void {
    // What came may still be decoded.
    if (this.#over || !this.#up.sent || this.#down?.received === true) return this.#slot.drop();
    if (this.#repeat()) return;
    this.#slot.drop();
    this.#refuse(denied('upstream_bad_response', 'The upstream closed the connection.'), 'upstream_abort');
  }

  /**
   * A pooled connection may have been closed by the upstream just as we wrote, with FIN or reset. Only a request
   * that is harmless to repeat, and that nothing was answered to, is sent once more (RFC 9110 section 9.2.2).
   */
  #repeat(): boolean {
    const reused = this.#up.mayRepeat(this.#slot.conn) && this.#down?.started !== true;
    if (!reused || this.#retried || this.permit?.snapshotId !== this.#deps.snapshotId()) return false;
    this.#retried = true;
    this.#up.again();
    this.#slot.drop();
    this.#slot.open(this.permit);
    return true;
  }

  #passDown(): void {
    const leg = this.#down;
    if (this.#over || leg === null) return;
    if (leg.failed !== null) {
      leg.recall();
      return this.#refuse(leg.failed, 'upstream_abort');
    }
    if (!this.#slot.countDown(this.bytesDown)) {
      leg.recall();
      return this.cut(SPENT);
    }
    const { conn } = this.#slot;
    if (!leg.flush(this.#job.side) && !leg.complete) conn?.socket.pause();
    if (leg.rest !== null && conn !== null) {
      return this.upgrade?.start({
        conn,
        early: leg.rest,
        use: this.#slot.use,
        cut: this.cut.bind(this),
        end: (ended, why) => this.#settle(ended, why, leg.status),
      });
    }
    if (leg.complete) this.#settle('done', null, leg.status);
  }

  // ---- every way out

  #fail(error: unknown): void {
    afterThrow(error, { deps: this.#deps, job: this.#job }, (why) => this.#refuse(why, 'refused'));
  }

  /** Answers with a refusal while that is possible, else breaks the connection off. */
  #refuse(why: Denied, ended: Outcome): void {
    if (this.#over) return;
    const { record, side, head } = this.#job;
    record.deny(why);
    if ((this.#down?.status ?? 0) !== 0) {
      // First of all: a FIN of ours would make what was sent look complete. TLS may tell of its close within the call.
      this.#breaking = true;
      side.destroy();
      return this.#settle(ended, why, this.#down?.status ?? 0);
    }
    // What follows a refused upgrade may be the other protocol's bytes: it is never read as HTTP (RFC 9931).
    const close = !this.#up.done || !head.keepAlive || head.upgrade !== null;
    const bytes = refusalFor(record, why, { close, headOnly: head.method === 'HEAD' });
    side.write(bytes);
    this.#refusedBytes = bytes.length;
    this.#settle(ended, why, REASONS[why.reason].status, !close);
  }

  #settle(ended: Outcome, why: Denied | null, status: number, keep = this.#down?.keepAlive === true): void {
    if (this.#over) return;
    this.#over = true;
    this.#deps.live.drop(this);
    this.upgrade?.stop();
    this.#up.stop();
    this.#down?.stop();
    this.#slot.letGo(ended === 'done' && this.#down?.reusable === true && this.#up.done);
    const { bytesUp, bytesDown } = this;
    const overheadMs = this.#overheadMs;
    this.#job.record.end({ status, ended, reason: why?.reason ?? null, bytesUp, bytesDown, overheadMs });
    if (ended !== 'client_abort') this.#job.done(keep);
  }
}
