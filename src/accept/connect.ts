/**
 * CONNECT: identified, judged, its addresses judged, recorded; then carried as the verdict says. While that
 * takes time the client may leave, end its side or send its first bytes: the handlers for all of it stand before
 * the first await, and every await looks again (invariants I3, I4).
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { ClientLink, LinkUser } from '../base/link.ts';
import type { Carry, Gate } from '../base/stages.ts';
import type { Vet } from '../base/upstream.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied, REASONS } from '../flow/reason.ts';
import { authorityText, type Target } from '../flow/target.ts';
import type { Treat } from '../flow/verdict.ts';
import { refusal } from '../wire/reply.ts';

export type ConnectDeps = {
  readonly gate: Gate;
  readonly vet: Vet;
  readonly carry: Readonly<Record<Treat, Carry>>;
  readonly stillValid: (identity: Identity, client: string) => Denied | null;
  readonly snapshotId: () => string;
};

/** A reason of our own: without one every abort makes an exception with a stack. */
const GONE = 'the client left';
/** Bytes that a client may send before it has its answer. */
const EARLY_BYTES = 64 * 1024;

/** Takes the connection over. `early`: bytes that came with the head. */
export function openConnect(
  deps: ConnectDeps,
  ask: { link: ClientLink; record: FlowRecord; identity: Identity; target: Target; early: Buffer },
): void {
  const { link, record, identity, target } = ask;
  const permit = deps.gate.connect({ flow: record.flow, identity, client: link.address, target });
  const pending = new PendingConnect(deps, link, record, ask.early);
  if ('kind' in permit) pending.refuse(permit);
  else void pending.run(permit);
}

class PendingConnect implements LinkUser {
  readonly #deps: ConnectDeps;
  readonly #link: ClientLink;
  readonly #record: FlowRecord;
  readonly #abort = new AbortController();
  readonly #early: Buffer[];
  #earlyBytes: number;
  #clientEnded = false;

  constructor(deps: ConnectDeps, link: ClientLink, record: FlowRecord, early: Buffer) {
    this.#deps = deps;
    this.#link = link;
    this.#record = record;
    this.#early = early.length > 0 ? [early] : [];
    this.#earlyBytes = early.length;
    link.user = this;
  }

  /** Judges the addresses, writes the decision, hands over. Never rejects. */
  async run(permit: Permit): Promise<void> {
    try {
      const addresses = await this.#deps.vet(permit, this.#abort.signal);
      if (this.#record.ended) return;
      if ('kind' in addresses) return this.refuse(addresses);
      const label = this.#deps.gate.label(permit.identity.group, permit.target);
      const { verdict } = permit;
      this.#record.allow(verdict, { label, treat: verdict.treat }, (failed) => this.#recorded(permit, addresses, failed));
    } catch {
      // Invariant I7: whatever was thrown, it is a refusal.
      this.refuse(denied('connect_failed'));
    }
  }

  #recorded(permit: Permit, addresses: readonly string[], failed: Error | null): void {
    if (this.#record.ended) return;
    if (failed !== null) return this.refuse(denied('audit_unavailable'));
    const current = this.#judgeAgain(permit);
    if ('kind' in current) return this.refuse(current);
    this.#deps.carry[current.verdict.treat]({
      link: this.#link,
      permit: current,
      record: this.#record,
      addresses,
      early: Buffer.concat(this.#early),
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
    return 'kind' in again ? again : denied('not_ready', 'The policy changed while this was decided; ask again.');
  }

  refuse(why: Denied): void {
    if (this.#record.ended) return;
    const { at, identity, requestId } = this.#record;
    this.#record.deny(why);
    const bytes = refusal({
      denied: why,
      requestId,
      group: identity?.group ?? null,
      host: at === null ? null : authorityText(at),
      close: true,
    });
    const { status } = REASONS[why.reason];
    this.#record.end({ status, ended: 'refused', reason: why.reason, bytesDown: bytes.length });
    this.#link.finishWith(bytes);
  }

  onBytes(bytes: Buffer): boolean {
    this.#early.push(Buffer.from(bytes));
    this.#earlyBytes += bytes.length;
    return this.#earlyBytes < EARLY_BYTES;
  }

  onEnd(): void {
    this.#clientEnded = true;
  }

  onDrain(): void {}

  onClose(): void {
    this.#abort.abort(GONE);
    this.#record.end({ status: 0, ended: 'client_abort' });
  }

  tick(): void {}
}
