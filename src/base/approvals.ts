/**
 * Requests that wait for a person, as stages and the admin side see them. `gate/approvals.ts` keeps them,
 * `intercept/held-exchange.ts` is one of them; the types stand here because stages do not import stages. No view may
 * hold a key.
 */
import type { Approval, HeldAsk } from '../flow/approval.ts';
import type { Permit } from '../flow/permit.ts';
import type { Denied } from '../flow/reason.ts';
import type { Ask } from '../flow/verdict.ts';

/** One request that waits. */
export type Held = HeldAsk & {
  readonly requestId: string;
  /** client address */
  readonly client: string;
  /** the path with names of keys in place of placeholders */
  readonly shownPath: string;
  /** names of the keys that it would be sent with */
  readonly keys: readonly string[];
  /** what a yes covers, as 64 hex digits: the same for the same group, scheme, host, port, protocol, method and path */
  readonly key: string;
  /** what a person sees of the body, as far as it has come; null: it has none */
  bodyView(): BodyView | null;
  /** the same for requests that a person could not tell apart, the whole body included */
  likeness(): string;
  /** what the policy in force says of it */
  judge(): Permit | Ask | Denied;
  /** The end of the wait, unless it left before. `null`: nobody has to be asked any more. */
  told(answer: Approval | Denied | null): void;
};

/** How a request leaves before it was told. */
export type Left =
  /** its client went away */
  | 'withdrawn'
  /** it was refused for another reason */
  | 'refused';

export type Desk = {
  /** Has a person asked; `told` may be called before it returns. The function ends the wait and is safe to repeat. */
  hold(held: Held, ask: Ask): (how: Left) => void;
};

export type BodyView = {
  /** bytes that came and wait here; the rest waits at the client */
  readonly bytes: number;
  /** its length as the client gave it; null: not given */
  readonly length: number | null;
  readonly type: string | null;
  /** the beginning as text, without keys; null: not text, or withheld */
  readonly text: string | null;
  /** `text` is all there is */
  readonly whole: boolean;
};

/** One row of `GET /api/v1/approvals` (contract 11). */
export type ApprovalView = {
  readonly id: string;
  readonly group: string;
  readonly identity: string;
  readonly client: string;
  /** `host:port` */
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly url: string;
  readonly protocol: 'http' | 'websocket';
  readonly keys: readonly string[];
  readonly rule: { readonly file: string; readonly line: number; readonly text: string };
  /** ISO 8601 */
  readonly since: string;
  /** ISO 8601: when the request that is shown is given up */
  readonly expires: string;
  /** requests that a yes with `remember` lets through */
  readonly waiting: number;
  /** of them, those that a yes for this once lets through */
  readonly same: number;
  readonly body: BodyView | null;
  /** seconds; 0: a yes is for this once */
  readonly remember: number;
  readonly second_factor: boolean;
  /** ISO 8601: a yes is not taken earlier, because of the rule's `cooldown` */
  readonly not_before: string | null;
  readonly key: string;
  readonly likeness: string;
};

/** A yes that covers what is the same, for a while yet. */
export type RememberedView = {
  readonly id: string;
  readonly group: string;
  /** method, host and path, without query values */
  readonly what: string;
  readonly rule: string;
  readonly by: string;
  /** ISO 8601 */
  readonly since: string;
  /** ISO 8601 */
  readonly until: string;
};

export type ApprovalLists = {
  readonly approvals: readonly ApprovalView[];
  readonly remembered: readonly RememberedView[];
};

export type Decision = {
  /** of the entry */
  readonly id: string;
  readonly decision: 'allow' | 'deny';
  /** for the agent, and for the record */
  readonly reason: string | null;
  /** false: a yes is for this once, whatever the rule says */
  readonly remember: boolean;
  /** name of the operator */
  readonly by: string;
  /** the operator gave a one-time code, and it was right */
  readonly verified: boolean;
  /** the entry as another process shows it: only what is like it is decided */
  readonly like?: { readonly key: string; readonly likeness: string };
};

export type Decided =
  | {
      readonly kind: 'done';
      readonly group: string;
      /** requests that the decision ended the wait of */
      readonly released: number;
      /** ISO 8601 until when the same needs no other yes; null: this once */
      readonly remembered: string | null;
    }
  /** it was decided, by a person or not, before */
  | { readonly kind: 'over'; readonly how: HeldEnd; readonly by: string | null }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'code_needed' }
  /** ISO 8601 */
  | { readonly kind: 'cooling'; readonly until: string }
  /** the decision could not be written down */
  | { readonly kind: 'failed' }
  /** a worker or replica did not answer that holds the call, or may hold it: nobody knows whether it is decided */
  | { readonly kind: 'unanswered' };

/** What became of a request that an `approve` rule decides, as it is counted. */
export type HeldEnd =
  | 'allowed'
  | 'denied'
  /** an earlier yes covered it */
  | 'remembered'
  /** an earlier no did */
  | 'cooled'
  | 'timeout'
  | Left
  | 'overloaded';

/** What the desk tells of: to metrics, notifications and the event stream. */
export type DeskEvent =
  /** a new entry waits for a decision */
  | { readonly kind: 'held'; readonly view: ApprovalView }
  /** one request is no longer waiting, or never was */
  | { readonly kind: 'ended'; readonly group: string; readonly how: HeldEnd }
  /** an entry was decided by a person */
  | {
      readonly kind: 'decided';
      readonly view: ApprovalView;
      readonly decision: 'allow' | 'deny';
      readonly by: string;
    };
