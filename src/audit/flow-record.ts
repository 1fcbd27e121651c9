/**
 * The record of one connection or exchange: opened when it starts, decided at most once, ended exactly once
 * on every way out (invariant I4). Stages fill in what they learn; the trail gets complete events.
 */
import type { Clock } from '../base/clock.ts';
import type { Ruling } from '../flow/approval.ts';
import type { Identity } from '../flow/identity.ts';
import { type Denied, REASONS, type Reason, type RuleRef } from '../flow/reason.ts';
import type { Authority, Via } from '../flow/target.ts';
import type { TraceParent } from '../flow/trace.ts';
import type { Allow, Treat } from '../flow/verdict.ts';
import type { DecisionEvent, Ended } from './event.ts';
import { FlowWords } from './flow-words.ts';
import type { AuditTrail } from './writer.ts';

export type FlowEnd = {
  /** HTTP status that the client got; 0: none */
  readonly status: number;
  readonly ended: Ended;
  readonly reason?: Reason | null;
  readonly bytesUp?: number;
  readonly bytesDown?: number;
  /** milliseconds in the proxy, upstream excluded */
  readonly overheadMs?: number | null;
};

export type FlowOpening = {
  readonly trail: AuditTrail;
  readonly clock: Clock;
  readonly stage: 'connect' | 'request';
  readonly flow: string;
  readonly requestId: string;
  readonly client: string;
  readonly via: Via | null;
  /** does a text hold a real key, current or revoked (invariant I5) */
  readonly holdsKey: (text: string) => boolean;
  /** of the connection, where several records may share them */
  readonly words?: FlowWords;
};

/** Stands in a record for a method or path that held a key. */
const WITHHELD = '[a key]';

export class FlowRecord {
  readonly flow: string;
  readonly requestId: string;
  readonly client: string;
  /** monotonic milliseconds */
  readonly startedAt: number;
  identity: Identity | null = null;
  at: Authority | null = null;
  method: string | null = null;
  path: string | null = null;
  policy = '';
  keys: readonly string[] = [];
  /** names of keys that were taken out of the response */
  scrubbed: readonly string[] = [];
  treat: Treat | null = null;
  /** of the client, where traces are exported */
  trace: TraceParent | null = null;
  readonly #open: FlowOpening;
  readonly #words: FlowWords;
  #decided = false;
  #verdict: DecisionEvent['verdict'] | null = null;
  /** the person who decided */
  #ruling: Ruling | undefined;
  #rule: RuleRef | null = null;
  #ended = false;

  constructor(opening: FlowOpening) {
    this.#open = opening;
    this.#words = opening.words ?? new FlowWords();
    this.flow = opening.flow;
    this.requestId = opening.requestId;
    this.client = opening.client;
    this.startedAt = opening.clock.mono();
  }

  /** What is known of a request from its head on. */
  about(known: {
    readonly identity: Identity;
    readonly at: Authority;
    readonly method: string;
    readonly path: string;
    readonly policy: string;
    readonly treat: Treat;
  }): void {
    this.identity = known.identity;
    this.at = known.at;
    this.method = known.method;
    this.path = known.path;
    this.policy = known.policy;
    this.treat = known.treat;
  }

  /** A key was taken out of what comes back. */
  tookOut(env: string): void {
    if (!this.scrubbed.includes(env)) this.scrubbed = [...this.scrubbed, env];
  }

  get decided(): boolean {
    return this.#decided;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Writes the decision to let through; `written` is called once it stands in the file, or could not. */
  allow(
    verdict: Allow,
    ask: { label: string | null; treat: Treat },
    written: (failed: Error | null) => void,
  ): void {
    this.treat = ask.treat;
    const would = verdict.wouldDeny;
    this.#ruling = verdict.approval;
    this.#decide(
      would === undefined ? passed(verdict) : 'would_deny',
      would ?? null,
      verdict.rule,
      ask.label,
      written,
    );
  }

  /** Writes the decision to answer here: a question to the proxy itself, which no rule judges. */
  answer(): void {
    this.#withhold();
    this.#decide('allow', null, undefined, null, ignore);
  }

  /** Writes the decision to refuse, if none stands yet. Nobody waits for it: nothing goes upstream. */
  deny(why: Denied): void {
    if (this.#decided) return;
    this.#withhold();
    this.#ruling = why.ruling;
    this.#decide('deny', why.reason, why.rule, null, ignore);
  }

  /** A request that is let through was searched for keys before; one that is not may have been refused earlier. */
  #withhold(): void {
    const { holdsKey } = this.#open;
    if (this.path !== null && holdsKey(this.path)) this.path = WITHHELD;
    if (this.method !== null && holdsKey(this.method)) this.method = WITHHELD;
    // Keys of hex digits are as long as its ids.
    if (this.trace !== null && holdsKey(`${this.trace.traceId}-${this.trace.spanId}`)) this.trace = null;
  }

  /** The end of the connection or exchange. Only the first call counts. */
  end(how: FlowEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    const open = this.#open;
    const overturned = this.#decided && this.#verdict !== 'deny' && isLateRefusal(how);
    open.trail.end({
      kind: 'end',
      stage: open.stage,
      flow: open.flow,
      requestId: open.requestId,
      group: this.identity?.group ?? null,
      identity: this.identity?.id ?? null,
      client: open.client,
      via: open.via,
      host: this.at?.host ?? null,
      port: this.at?.port ?? null,
      method: this.method,
      path: this.path,
      treat: this.treat,
      reason: how.reason ?? null,
      status: how.status,
      bytesUp: how.bytesUp ?? 0,
      bytesDown: how.bytesDown ?? 0,
      ms: open.clock.mono() - this.startedAt,
      overheadMs: how.overheadMs ?? null,
      ended: how.ended,
      verdict: overturned ? 'deny' : this.#verdict,
      overturned,
      rule: this.#rule,
      keys: this.keys,
      scrubbed: this.scrubbed,
      policy: this.policy,
      trace: this.trace,
      words: this.#words,
    });
  }

  #decide(
    verdict: DecisionEvent['verdict'],
    reason: Reason | null,
    rule: RuleRef | undefined,
    hostLabel: string | null,
    written: (failed: Error | null) => void,
  ): void {
    this.#decided = true;
    this.#verdict = verdict;
    this.#rule = rule ?? null;
    const open = this.#open;
    open.trail.decision(
      {
        kind: 'decision',
        stage: open.stage,
        flow: open.flow,
        requestId: open.requestId,
        group: this.identity?.group ?? null,
        identity: this.identity?.id ?? null,
        client: open.client,
        via: open.via,
        host: this.at?.host ?? null,
        port: this.at?.port ?? null,
        method: this.method,
        path: this.path,
        verdict,
        reason,
        rule: rule ?? null,
        approval: this.#ruling,
        treat: this.treat,
        keys: this.keys,
        policy: this.policy,
        trace: this.trace,
        words: this.#words,
        hostLabel,
      },
      written,
    );
  }
}

/**
 * What was let in turned out to be something else: the name in its ClientHello, the bytes of its body. Failures of
 * the upstream are none of the client's doing.
 */
function isLateRefusal(how: FlowEnd): boolean {
  return how.ended === 'refused' && how.reason != null && REASONS[how.reason].status < 500;
}

function passed({ approval }: Allow): 'allow' | 'approve' {
  return approval === undefined ? 'allow' : 'approve';
}

function ignore(): void {}
