/** What an exchange works with, and what it is asked to do. */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Limits } from '../base/admission.ts';
import type { Desk } from '../base/approvals.ts';
import type { Clock } from '../base/clock.ts';
import type { HeldBytes } from '../base/held-bytes.ts';
import type { LiveRegistry } from '../base/live.ts';
import type { Rotation } from '../base/rotation.ts';
import type { Seat } from '../base/seats.ts';
import type { Gate, Session, SessionSide, SessionTurn } from '../base/stages.ts';
import type { UpstreamPool, Vet } from '../base/upstream.ts';
import type { Approval } from '../flow/approval.ts';
import type { Identity } from '../flow/identity.ts';
import type { Denied } from '../flow/reason.ts';
import type { Target } from '../flow/target.ts';
import type { Ask, Facts } from '../flow/verdict.ts';
import type { IdentityBindings } from '../secrets/binding.ts';
import type { HostKeyIndex } from '../secrets/host-keys.ts';
import { SameHead } from '../secrets/same-head.ts';
import type { RequestHead } from '../wire/http1-parse.ts';
import { RebuiltHead } from './rebuilt-head.ts';
import type { Upgrade } from './upgrade.ts';

export type ExchangeDeps = {
  readonly gate: Gate;
  readonly limits: Limits;
  /** asks people */
  readonly approvals: Desk;
  /** room for the beginnings of bodies that wait for a person */
  readonly ahead: HeldBytes;
  readonly pool: UpstreamPool;
  readonly vet: Vet;
  readonly live: LiveRegistry;
  readonly clock: Clock;
  /** placeholders and values of one identity under the policy in force */
  readonly bindings: (identity: Identity) => IdentityBindings;
  /** which of an identity's keys are bound to a host */
  readonly hostKeys: HostKeyIndex;
  /** is the identity still good, as of now */
  readonly stillValid: (identity: Identity, client: string) => Denied | null;
  /** id of the policy in force */
  readonly snapshotId: () => string;
  /** hash of the policy in force, as records name it */
  readonly policyHash: () => string;
  readonly draining: () => boolean;
  /** traces are exported: the client's own is looked for */
  readonly traced: boolean;
  /** room for WebSocket messages and bodies that are not whole yet */
  readonly held: HeldBytes;
  /** where what a client sent ahead waits for its turn */
  readonly rotation: Rotation;
  /** an exception ended a request */
  readonly onError: (error: unknown) => void;
};

export type ExchangeJob = {
  readonly head: RequestHead;
  readonly identity: Identity;
  readonly target: Target;
  /** origin-form */
  readonly path: string;
  /** what the client speaks */
  readonly protocol: Facts['protocol'];
  /** towards the upstream: TLS */
  readonly secure: boolean;
  readonly client: string;
  /** of the client's connection, where every request may change whose it is */
  readonly seat: Seat | null;
  readonly side: SessionSide;
  readonly record: FlowRecord;
  /** what was found in the head before, on the same connection */
  readonly same: SameHead;
  /** what the head became before, on the same connection */
  readonly rebuilt: RebuiltHead;
  /** a person's yes to this request; null: nobody was asked */
  readonly approval: Approval | null;
  /** waited for that, milliseconds */
  readonly waitedMs: number;
  /** A person has to be asked: the session ends this exchange without a word, and begins another one after a yes. */
  readonly hold: (job: ExchangeJob, ask: Ask, of: Asks) => void;
  /** after a 101: `user` gets what the client says from now on, first of all what it has said already */
  readonly takeOver: (user: Pick<Session, 'feed' | 'finish'>) => { rest: Buffer; ended: boolean };
  /** the exchange is over; may another request follow on the client's connection */
  readonly done: (keepAlive: boolean) => void;
};

/** Whose request it is, and where it goes. */
export type ForwardTo = Parameters<SessionTurn['forward']>[0];
/** What is the same for all requests of a client's connection. */
export type OwnJob = Calls & Pick<ExchangeJob, 'protocol' | 'client' | 'side' | 'same' | 'rebuilt'>;
type Calls = Pick<ExchangeJob, 'hold' | 'takeOver' | 'done'>;

export function ownJob(
  { client, protocol = 'http/1.1' }: { readonly client: string; readonly protocol?: Facts['protocol'] },
  side: SessionSide,
  calls: Calls,
): OwnJob {
  return { client, protocol, side, same: new SameHead(), rebuilt: new RebuiltHead(), ...calls };
}

/** Field by field: on the hot path a spread costs more than all else here. */
export function newJob(to: ForwardTo, of: Pick<ExchangeJob, 'head' | 'record'>, own: OwnJob): ExchangeJob {
  return {
    head: of.head,
    identity: to.identity,
    target: to.target,
    path: to.path,
    protocol: own.protocol,
    secure: to.secure,
    client: own.client,
    seat: to.seat ?? null,
    side: own.side,
    record: of.record,
    same: own.same,
    rebuilt: own.rebuilt,
    approval: null,
    waitedMs: 0,
    hold: own.hold,
    takeOver: own.takeOver,
    done: own.done,
  };
}

/** What is known of a request beside its job. */
export type Asks = { readonly facts: Facts; readonly upgrade: Upgrade | null };

export type Outcome = 'done' | 'refused' | 'cut' | 'timeout' | 'client_abort' | 'upstream_abort';
