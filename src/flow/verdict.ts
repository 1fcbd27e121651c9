/** What the policy says of one target or one request: the result type of `policy/decide.ts`. */
import type { Approval } from './approval.ts';
import type { Denied, Reason, RuleRef } from './reason.ts';

/** How an allowed flow is carried: opaque bytes, TLS ended here, or plain HTTP. */
export type Treat = 'tunnel' | 'intercept' | 'plain';

/** What one HTTP request asks, known after interception or for plain HTTP. */
export type Facts = {
  readonly method: string;
  /** origin-form as it will be sent, query included */
  readonly path: string;
  readonly protocol: 'http/1.1' | 'h2' | 'websocket';
};

/** An address range in CIDR form that a rule opens beyond the public ones. */
export type Cidr = string;

export type Allow = {
  readonly kind: 'allow';
  readonly rule: RuleRef | undefined;
  readonly treat: Treat;
  /** monitor mode let through what enforce mode would refuse, for this reason */
  readonly wouldDeny?: Reason;
  /** non-public ranges this rule may connect to */
  readonly addresses: readonly Cidr[];
  /** may bytes that are not TLS pass through a tunnel */
  readonly protocol: 'tls' | 'any';
  /** idle limit per direction, milliseconds */
  readonly idleMs: number;
  /** HTTP/2 is offered to clients that speak HTTP/1.1 as well */
  readonly prefersH2: boolean;
  /** does a rule of this host judge methods or paths (then override headers are removed) */
  readonly judgesRequests: boolean;
  /** the rule says `tls: tunnel`: requests to this host are the client's own affair, and none is sent for it */
  readonly sealed?: true;
  /** a person let this one request through */
  readonly approval?: Approval;
};

/** A person must decide first. */
export type Ask = {
  readonly kind: 'ask';
  readonly rule: RuleRef;
  readonly waitMs: number;
  /** a yes covers the same request for so long; 0: this once */
  readonly rememberMs: number;
  /** after a no the same request is refused at once for so long, and so much time passes between two yeses of the rule */
  readonly cooldownMs: number;
  /** a yes needs a one-time code */
  readonly secondFactor: boolean;
  readonly then: Allow;
};

export type Verdict = Allow | Ask | Denied;
