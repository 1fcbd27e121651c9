/**
 * What the audit trail is told: one decision per judged target or request, one end per connection and
 * exchange, and what operators do. Stages build these values; `audit/chain.ts` turns them into lines, `metrics/` counts them
 * (design idea 6: counters and record cannot disagree because they are made of the same values).
 */
import type { Ruling } from '../flow/approval.ts';
import type { Reason, RuleRef } from '../flow/reason.ts';
import type { Via } from '../flow/target.ts';
import type { TraceParent } from '../flow/trace.ts';
import type { Treat } from '../flow/verdict.ts';
import type { FlowWords } from './flow-words.ts';

/** `connect`: the CONNECT, SOCKS or transparent target; `request`: one HTTP request. */
type Stage = 'connect' | 'request';

type AuditVerdict = 'allow' | 'deny' | 'would_deny' | 'approve';

type Common = {
  readonly stage: Stage;
  readonly flow: string;
  readonly requestId: string;
  /** null: nobody was identified */
  readonly group: string | null;
  readonly identity: string | null;
  /** client address, without port */
  readonly client: string;
  readonly via: Via | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly method: string | null;
  /** as it came, query included; the record keeps no query value (`audit/redact.ts`) */
  readonly path: string | null;
  readonly reason: Reason | null;
  readonly treat: Treat | null;
  /** names of keys, never values */
  readonly keys: readonly string[];
  /** hash of the policy that decided */
  readonly policy: string;
  /** the trace that the client says it is part of; looked for only where traces are exported, and not recorded */
  readonly trace?: TraceParent | null;
  /** what the connection's records have in common; absent: written anew for this one */
  readonly words?: FlowWords;
};

export type DecisionEvent = Common & {
  readonly kind: 'decision';
  readonly verdict: AuditVerdict;
  readonly rule: RuleRef | null;
  /** the person who decided, and under which entry; absent: nobody was asked */
  readonly approval?: Ruling | undefined;
  /** the rule's host pattern when allowed; null when refused; a metric label, not recorded */
  readonly hostLabel: string | null;
};

/** How a connection or exchange ended. `crash`: with its process; the next one on the chain says so. */
export type Ended =
  | 'done'
  | 'client_abort'
  | 'upstream_abort'
  | 'refused'
  | 'timeout'
  | 'cut'
  | 'error'
  | 'crash';

export type EndEvent = Common & {
  readonly kind: 'end';
  /** it was let in by its decision and refused afterwards: counted as a refusal, too */
  readonly overturned?: boolean;
  /** status sent to the client; 0: none sent */
  readonly status: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** from the first byte to the last, milliseconds */
  readonly ms: number;
  /** time in the proxy, upstream excluded, milliseconds; null: not measured */
  readonly overheadMs: number | null;
  readonly ended: Ended;
  /** keys whose values were taken out of the response */
  readonly scrubbed: readonly string[];
  /** repeats the decision's answer where the caller still has it */
  readonly verdict?: AuditVerdict | null;
  readonly rule?: RuleRef | null;
};

/** Something that a person did to the proxy, or had a program do. */
export type OperatorEvent = {
  readonly kind: 'operator';
  /** what, dotted: `lockdown.on`, `token.revoke` */
  readonly action: string;
  /** their name; `cli:USER`, `signal` or `file` where it was none of the admin side's */
  readonly operator: string;
  readonly origin: 'api' | 'cli' | 'file' | 'signal' | 'replica';
  /** with the origin `replica`: the one where they did it */
  readonly replica?: string;
  /** address, where it came over the network */
  readonly client: string | null;
  /** whom it concerns: a group, `*` for all, null for none */
  readonly group: string | null;
  /** id of what it was done to */
  readonly subject: string | null;
  readonly outcome: 'done' | 'refused' | 'failed';
  /** in their own words */
  readonly why: string | null;
  /** when they did it, milliseconds since the epoch; the record may come later */
  readonly actedAt: number;
};

export type AuditEvent = DecisionEvent | EndEvent | OperatorEvent;
