/**
 * A tunnel: opaque bytes both ways between a client and the checked address. The first bytes pass the hello gate;
 * both directions read into the shared buffer, keep backpressure and half-close, and end together on an error,
 * on idleness or on a cut. Few objects per tunnel: half of its cost would be making them.
 */
import type net from 'node:net';
import type { Ended } from '../audit/event.ts';
import { type GroupUse, type Limits, SPENT } from '../base/admission.ts';
import { sendRefusal, sendSuccess } from '../base/answer.ts';
import type { Clock } from '../base/clock.ts';
import { EarlyBytes } from '../base/early-bytes.ts';
import type { HeldBytes } from '../base/held-bytes.ts';
import type { LinkUser } from '../base/link.ts';
import type { LiveFlow, LiveRegistry } from '../base/live.ts';
import { Outlet } from '../base/outlet.ts';
import { answerInTheClear } from '../base/refuse.ts';
import { UNLISTED } from '../base/roster.ts';
import type { Scratch } from '../base/scratch.ts';
import type { Admitted, Carry, RefuseInside } from '../base/stages.ts';
import { StallWatch } from '../base/stall.ts';
import type { OpenTcp } from '../base/upstream.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied, REASONS } from '../flow/reason.ts';
import type { Target } from '../flow/target.ts';
import { HelloGate, type HelloVerdict } from '../wire/hello-gate.ts';
import { endSide } from './end-side.ts';
import { part } from './part.ts';

export type TunnelDeps = {
  readonly open: OpenTcp;
  readonly refuseInside: RefuseInside;
  /** room for what clients say before their upstreams are there */
  readonly early: HeldBytes;
  readonly live: LiveRegistry;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly scratch: Scratch;
  /** an exception ended a connection */
  readonly onError: (error: unknown) => void;
};

/** From the 200 to a whole ClientHello. */
const HELLO_MS = 10_000;
const NO_ROOM = denied('overloaded', 'Too much was sent ahead of answers to this group.');

export function createTunnel(deps: TunnelDeps): Carry {
  return (job) => new Tunnel(deps, job).start();
}

class Tunnel implements LinkUser, LiveFlow {
  readonly treat = 'tunnel';
  readonly facts = null;
  place = UNLISTED;
  readonly startedAt: number;
  bytesUp = 0;
  bytesDown = 0;
  readonly #deps: TunnelDeps;
  readonly #job: Admitted;
  readonly #use: GroupUse;
  /** while it is connected */
  #attempt: { leave(): void } | null = null;
  #gate: HelloGate | null;
  readonly #early: EarlyBytes;
  #upstream: net.Socket | null = null;
  #outlet: Outlet | null = null;
  /** by when a whole ClientHello must have come, monotonic milliseconds */
  #helloBy = Number.POSITIVE_INFINITY;
  #clientEnded: boolean;
  #over = false;
  /** monotonic milliseconds of the last byte either way */
  #activeAt: number;
  #stall: StallWatch | null = null;

  constructor(deps: TunnelDeps, job: Admitted) {
    this.#deps = deps;
    this.#job = job;
    this.#use = deps.limits.of(job.permit.identity.group);
    this.startedAt = deps.clock.now();
    this.#activeAt = deps.clock.mono();
    this.#clientEnded = job.clientEnded;
    this.#early = new EarlyBytes(deps.early, job.permit.identity.group);
    this.#gate = new HelloGate(job.permit.target, job.permit.verdict.protocol);
  }

  get id(): string {
    return this.#job.permit.flow;
  }
  get permit(): Permit {
    return this.#job.permit;
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

  start(): void {
    const { link, permit, vetted } = this.#job;
    link.user = this;
    this.#deps.live.add(this);
    if (!this.#early.add(this.#job.early)) return this.#refuse(NO_ROOM);
    const onread = { buffer: this.#deps.scratch.bulk, callback: this.#fromUpstream };
    this.#attempt = this.#deps.open(permit, { vetted, onread }, (opened) => {
      try {
        this.#opened(opened);
      } catch (error) {
        // Invariant I7: before the 200 a refusal, afterwards the end.
        this.#deps.onError(error);
        this.#cutOff(denied('connect_failed'), 'error');
      }
    });
  }

  #opened(opened: net.Socket | Denied): void {
    if ('kind' in opened) return this.#refuse(opened);
    this.#upstream = opened;
    this.#outlet = new Outlet(opened, this.#deps.scratch);
    this.#helloBy = this.#deps.clock.mono() + HELLO_MS;
    opened.on('error', () => opened.destroy());
    opened.on('end', () => endSide(this.#job.link.socket, this.#clientEnded));
    opened.on('drain', () => this.#upstreamDrained());
    opened.on('close', (failed) => this.#end(failed ? 'upstream_abort' : 'done', null));
    this.#activeAt = this.#deps.clock.mono();
    sendSuccess(this.#job.link, this.#job.answers);
    this.#job.link.bulk = true;
    const early = this.#early.take();
    if (early.length > 0) this.#judgeFirst(early);
    if (this.#over) return;
    if (this.#clientEnded) this.onEnd();
    this.#job.link.socket.resume();
    opened.resume();
  }

  // ---- client to upstream

  onBytes(bytes: Buffer): boolean {
    const outlet = this.#outlet;
    if (outlet === null) return this.#holdEarly(bytes);
    if (this.#gate !== null) return this.#judgeFirst(bytes);
    this.#activeAt = this.#deps.clock.mono();
    return this.#countUp(bytes.length) && outlet.write(bytes);
  }

  onEnd(): void {
    this.#clientEnded = true;
    if (this.#upstream === null) return;
    // A client that leaves before it has said what it wants gets no connection used in its name.
    if (this.#gate !== null && this.#job.permit.verdict.protocol === 'tls')
      return this.#cutOff(denied('not_tls'), 'refused');
    this.#letHeld();
    endSide(this.#upstream, this.#upstream.readableEnded);
  }

  onDrain(): void {
    this.#upstream?.resume();
  }

  onClose(failed: boolean): void {
    this.#end(failed || this.#upstream === null ? 'client_abort' : 'done', null);
  }

  #holdEarly(bytes: Buffer): boolean {
    if (this.#early.add(bytes)) return !this.#early.enough;
    this.#refuse(NO_ROOM);
    return true;
  }

  #judgeFirst(bytes: Buffer): boolean {
    return this.#afterGate(this.#gate?.feed(bytes) ?? { kind: 'more' });
  }

  #afterGate(verdict: HelloVerdict): boolean {
    if (verdict.kind === 'more') return true;
    if (verdict.kind === 'deny') {
      // The 200 has gone out: to a client that speaks HTTP in the clear more can be told.
      this.#cutOff(verdict, 'refused', answerInTheClear(this.#job.record, verdict, this.#gate?.first));
      // By the link, so that the client comes to reading it.
      return true;
    }
    this.#gate = null;
    this.#activeAt = this.#deps.clock.mono();
    return this.#countUp(verdict.bytes.length) && (this.#upstream?.write(verdict.bytes) ?? false);
  }

  #countUp(bytes: number): boolean {
    if (!this.#use.up(bytes)) {
      this.#cutOff(SPENT, 'cut');
      return false;
    }
    this.bytesUp += bytes;
    return true;
  }

  #upstreamDrained(): void {
    this.#outlet?.release();
    this.#job.link.socket.resume();
  }

  // ---- upstream to client

  readonly #fromUpstream = (count: number, buffer: Uint8Array): boolean => {
    this.#activeAt = this.#deps.clock.mono();
    if (!this.#use.down(count)) {
      this.#cutOff(SPENT, 'cut');
      return false;
    }
    this.bytesDown += count;
    return this.#job.link.writeShared(Buffer.from(buffer.buffer, buffer.byteOffset, count));
  };

  // ---- every way out

  tick(now: number): void {
    // Connecting has a limit of its own.
    if (this.#upstream === null) return;
    if (this.#gate !== null && now > this.#helloBy) this.#helloLate();
    else this.#endIfStalled(now, this.#upstream);
  }

  #endIfStalled(now: number, upstream: net.Socket): void {
    this.#stall ??= new StallWatch();
    const { link, permit } = this.#job;
    const ask = { activeAt: this.#activeAt, idleMs: permit.verdict.idleMs, client: link.socket, upstream };
    const stalled = this.#stall.look(now, ask);
    if (stalled !== null) this.#end('timeout', stalled === 'quiet' ? null : denied(`${stalled}_timeout`));
  }

  #helloLate(): void {
    if (this.#job.permit.verdict.protocol === 'tls') return this.#cutOff(denied('client_timeout'), 'timeout');
    // A protocol in which the server speaks first, or bytes that only look like the start of TLS.
    this.#helloBy = Number.POSITIVE_INFINITY;
    this.#letHeld();
  }

  /** No ClientHello comes of what is held any more. */
  #letHeld(): void {
    const held = this.#gate?.release();
    if (held !== undefined && held.bytes.length > 0) this.#afterGate(held);
  }

  cut(why: Denied): void {
    this.#cutOff(why, 'cut');
  }

  /** Before the 200 a refusal can still be told; afterwards the connection only ends. */
  #refuse(why: Denied): void {
    if (this.#over) return;
    const { link, record, answers } = this.#job;
    if (this.#toldInside(why)) return;
    const bytes = answers.refusal(record, why);
    record.end({ status: REASONS[why.reason].status, ended: 'refused', reason: why.reason });
    this.#end('refused', why);
    sendRefusal(link, bytes);
  }

  #toldInside(why: Denied): boolean {
    const { identity, target } = this;
    const tls = this.#job.permit.verdict.protocol === 'tls';
    const early = this.#early.take();
    const clientEnded = this.#clientEnded;
    if (!this.#deps.refuseInside({ ...this.#job, identity, target, why, tls, early, clientEnded }))
      return false;
    this.#over = true;
    this.#attempt?.leave();
    this.#deps.live.drop(this);
    return true;
  }

  /** `last`: what the client is still told; null: the connection is reset. */
  #cutOff(why: Denied, ended: Ended, last: Buffer | null = null): void {
    if (this.#upstream === null) this.#refuse(why);
    else this.#end(ended, why, last);
  }

  #end(ended: Ended, why: Denied | null, last: Buffer | null = null): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#upstream === null) this.#attempt?.leave();
    this.#deps.live.drop(this);
    this.#outlet?.release();
    this.#early.take();
    this.#job.record.end({
      status: this.#upstream === null ? 0 : 200,
      ended,
      reason: why?.reason ?? null,
      bytesUp: this.bytesUp,
      bytesDown: this.bytesDown,
    });
    if (this.#upstream !== null) part(this.#job.link, this.#upstream, { well: ended === 'done', last });
  }
}
