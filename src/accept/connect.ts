/**
 * CONNECT: identified, judged, its addresses judged, recorded; then carried as the verdict says. While that
 * takes time the client may leave, end its side or send its first bytes: the handlers for all of it stand before
 * the first await, and every await looks again (invariants I3, I4).
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import { type Limits, withLifted } from '../base/admission.ts';
import { type Answerer, sendRefusal } from '../base/answer.ts';
import { EarlyBytes } from '../base/early-bytes.ts';
import type { HeldBytes } from '../base/held-bytes.ts';
import type { ClientLink, LinkUser } from '../base/link.ts';
import type { Carry, Gate, RefuseInside } from '../base/stages.ts';
import type { Vet, VetNow, Vetted } from '../base/upstream.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied, REASONS } from '../flow/reason.ts';
import type { Target } from '../flow/target.ts';
import type { Treat } from '../flow/verdict.ts';

export type ConnectDeps = {
  readonly gate: Gate;
  readonly limits: Limits;
  readonly vet: Vet;
  readonly vetNow: VetNow;
  readonly carry: Readonly<Record<Treat, Carry>>;
  readonly refuseInside: RefuseInside;
  /** room for what clients say ahead of their answers */
  readonly early: HeldBytes;
  readonly stillValid: (identity: Identity, client: string) => Denied | null;
  readonly snapshotId: () => string;
  /** an exception ended a connection */
  readonly onError: (error: unknown) => void;
};

/** A reason of our own: without one every abort makes an exception with a stack. */
const GONE = 'the client left';
const NO_ROOM = denied('overloaded', 'Too much was sent ahead of answers to this group.');

export type ConnectAsk = {
  readonly link: ClientLink;
  readonly record: FlowRecord;
  readonly answers: Answerer;
  readonly identity: Identity;
  readonly target: Target;
  /** bytes that came with what the client asked with */
  readonly early: Buffer;
  /** the client has already ended its side */
  readonly clientEnded: boolean;
};

/** Takes the connection over. */
export function openConnect(deps: ConnectDeps, ask: ConnectAsk): void {
  new PendingConnect(deps, ask).run(ask.identity, ask.target);
}

class PendingConnect implements LinkUser {
  readonly #deps: ConnectDeps;
  readonly #link: ClientLink;
  readonly #record: FlowRecord;
  readonly #ask: ConnectAsk;
  /** there is one while a name server is asked */
  #abort: AbortController | null = null;
  readonly #early: EarlyBytes;
  #clientEnded: boolean;
  #permit: Permit | null = null;
  /** a limit that monitor mode lifted */
  #lifted: Denied | null = null;

  constructor(deps: ConnectDeps, ask: ConnectAsk) {
    const { link, record, identity } = ask;
    this.#deps = deps;
    this.#link = link;
    this.#record = record;
    this.#ask = ask;
    this.#early = new EarlyBytes(deps.early, identity.group);
    this.#clientEnded = ask.clientEnded;
    link.user = this;
  }

  /** Judges target, limits and addresses, writes the decision, hands over. Never throws. */
  run(identity: Identity, target: Target): void {
    try {
      if (!this.#early.add(this.#ask.early)) return this.refuse(NO_ROOM);
      const { flow } = this.#record;
      const permit = this.#deps.gate.connect({ flow, identity, client: this.#link.address, target });
      if ('kind' in permit) return this.refuse(permit);
      this.#permit = permit;
      // What an intercepted connection asks for is counted request by request.
      const ask = { seat: this.#link.seat, request: permit.verdict.treat === 'tunnel' };
      return this.#deps.limits.of(identity.group).admit(ask, (why, lifted) => {
        this.#lifted = why;
        this.#guarded(() => this.#vet(permit, lifted ? null : why));
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** `over`: the limit that stands in the way. */
  #vet(permit: Permit, over: Denied | null): void {
    if (this.#record.ended) return;
    if (over !== null) return this.refuse(over);
    const known = this.#deps.vetNow(permit);
    if (known !== null) return this.#vetted(permit, known);
    this.#deps.vet(permit, this.#gone()).then(
      (found) => this.#guarded(() => this.#vetted(permit, found)),
      (error: unknown) => this.#fail(error),
    );
    return undefined;
  }

  #vetted(permit: Permit, vetted: Vetted | Denied): void {
    if (this.#record.ended) return;
    if ('kind' in vetted) return this.refuse(vetted);
    return this.#allow(permit, (failed) => {
      try {
        this.#recorded(permit, vetted, failed);
      } catch (error) {
        // Nobody knows what the client has been told by now.
        this.#deps.onError(error);
        this.#link.socket.destroy();
      }
    });
  }

  #guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  #gone(): AbortSignal {
    this.#abort = new AbortController();
    return this.#abort.signal;
  }

  #allow(permit: Permit, written: (failed: Error | null) => void): void {
    const label = this.#deps.gate.label(permit.identity.group, permit.target);
    const verdict = withLifted(permit.verdict, this.#lifted);
    this.#record.allow(verdict, { label, treat: verdict.treat }, written);
  }

  /** Invariant I7: whatever was thrown, it is a refusal; where even that fails, the connection ends. */
  #fail(error: unknown): void {
    this.#deps.onError(error);
    try {
      this.#tell(denied('connect_failed'));
    } catch {
      // The record is what failed: the close event of the link settles what can be settled.
      this.#link.socket.destroy();
    }
  }

  #recorded(permit: Permit, vetted: Vetted, failed: Error | null): void {
    if (this.#record.ended) return;
    if (failed !== null) return this.refuse(denied('audit_unavailable'));
    const current = this.#judgeAgain(permit);
    if ('kind' in current) return this.refuse(current);
    this.#deps.carry[current.verdict.treat]({
      link: this.#link,
      permit: current,
      record: this.#record,
      answers: this.#ask.answers,
      vetted,
      early: this.#early.take(),
      clientEnded: this.#clientEnded,
    });
  }

  /** The policy or the identity may have changed while we waited. */
  #judgeAgain(permit: Permit): Permit | Denied {
    const { flow, identity, target } = permit;
    const invalid = this.#deps.stillValid(identity, this.#link.address);
    if (invalid !== null) return invalid;
    if (permit.snapshotId === this.#deps.snapshotId()) return permit;
    const again = this.#deps.gate.connect({ flow, identity, client: this.#link.address, target });
    // The addresses were judged, and the decision recorded, under the old policy: the client asks again.
    return 'kind' in again
      ? again
      : denied('not_ready', 'The policy changed while this was decided; ask again.');
  }

  refuse(why: Denied): void {
    if (this.#record.ended) return;
    const verdict = this.#permit?.verdict;
    const inside = this.#deps.refuseInside({
      ...this.#ask,
      why,
      tls: verdict?.treat === 'intercept' || (verdict?.treat === 'tunnel' && verdict.protocol === 'tls'),
      early: this.#early.take(),
      clientEnded: this.#clientEnded,
    });
    if (!inside) this.#tell(why);
  }

  #tell(why: Denied): void {
    if (this.#record.ended) return;
    this.#early.take();
    this.#record.deny(why);
    const bytes = this.#ask.answers.refusal(this.#record, why);
    const { status } = REASONS[why.reason];
    this.#record.end({ status, ended: 'refused', reason: why.reason, bytesDown: bytes?.length ?? 0 });
    sendRefusal(this.#link, bytes);
  }

  onBytes(bytes: Buffer): boolean {
    if (this.#early.add(bytes)) return !this.#early.enough;
    this.#abort?.abort(GONE);
    this.#tell(NO_ROOM);
    return true;
  }

  onEnd(): void {
    this.#clientEnded = true;
  }

  onDrain(): void {}

  onClose(): void {
    this.#abort?.abort(GONE);
    this.#early.take();
    // It was judged, and a name server may have been asked: that stands in the record (invariant I4).
    if (this.#permit !== null && !this.#record.decided) this.#allow(this.#permit, () => {});
    this.#record.end({ status: 0, ended: 'client_abort' });
  }

  tick(): void {}

  /** Still undecided when the time to drain is over. */
  cut(why: Denied): void {
    this.#abort?.abort(GONE);
    if (this.#permit !== null && !this.#record.decided) this.#allow(this.#permit, () => {});
    this.#tell(why);
  }
}
