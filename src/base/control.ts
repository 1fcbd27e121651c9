/**
 * What the admin side may ask of the running proxy. `control.ts` implements it, over several workers
 * `supervise/control.ts`, over replicas `replicas/control.ts`; `admin/` calls it and never touches a stage. The views are the JSON that the API answers with (contract 8, 11),
 * so no view may hold a key's value or a token.
 */
import type { Treat } from '../flow/verdict.ts';
import type { Explanation } from '../policy/explain.ts';
import type { Problem } from '../policy/model.ts';
import type { LimitsView } from './admission.ts';
import type { ApprovalLists, Decided, Decision } from './approvals.ts';

export type StatusView = {
  readonly version: string;
  /** ISO 8601 */
  readonly started: string;
  readonly uptime_seconds: number;
  readonly ready: boolean;
  /** why not ready, in words; empty when ready */
  readonly why: readonly string[];
  /** hash of the policy in force; null before the first load */
  readonly policy: string | null;
  readonly policy_loaded: string | null;
  readonly groups: number;
  readonly open_connections: number;
  readonly listeners: { readonly proxy: string; readonly admin: string };
  /** record number and hash of the last audit line: ship it elsewhere to notice a cut tail */
  readonly audit: AuditView;
  /** where several processes work: each of them; `audit.seq` is then the sum of their chains, its hash empty */
  readonly workers?: readonly WorkerView[];
  /** and the chain of the process that supervises them: what people do */
  readonly people?: AuditView;
  /** where several replicas share a Redis */
  readonly replicas?: ReplicasView;
};

/** What a replica knows of all of them. */
export type ReplicasView = {
  /** did Redis answer the last look, and was everything shared */
  readonly connected: boolean;
  /** ISO 8601: when everything was shared last; null: never yet */
  readonly shared: string | null;
  /** how many different policies are in force; 1: all agree */
  readonly policies: number;
  /** those that were alive at the last look, this one among them */
  readonly seen: readonly ReplicaView[];
};

export type ReplicaView = {
  readonly id: string;
  /** of its machine */
  readonly name: string;
  /** the one that answers */
  readonly self: boolean;
  readonly version: string;
  /** ISO 8601 */
  readonly since: string;
  /** hashes of the policies in force: one, unless workers are just changing it */
  readonly policies: readonly string[];
};

export type AuditView = { readonly healthy: boolean; readonly seq: number; readonly hash: string };

export type WorkerView = {
  /** from 1 */
  readonly worker: number;
  readonly pid: number | null;
  /** `waiting`: the process ended, the next one is about to start */
  readonly state: 'starting' | 'ready' | 'waiting' | 'over';
  /** processes that ended before this one */
  readonly restarts: number;
  readonly ready: boolean;
  readonly policy: string | null;
  readonly open_connections: number;
  readonly audit: AuditView;
};

export type GroupView = {
  readonly group: string;
  readonly description: string | null;
  readonly mode: 'enforce' | 'monitor';
  readonly token: 'optional' | 'required';
  readonly sources: readonly string[];
  readonly rules: number;
  readonly keys: {
    readonly usable: number;
    readonly total: number;
    readonly names: readonly string[];
    /** those without a value now, and why, in words for operators */
    readonly unavailable: readonly { readonly name: string; readonly why: string }[];
  };
  readonly open_connections: number;
  readonly limits: LimitsView;
  readonly file: string;
};

export type FlowView = {
  readonly id: string;
  readonly group: string;
  readonly identity: string;
  /** `host:port` */
  readonly host: string;
  readonly treat: Treat;
  /** ISO 8601 */
  readonly started: string;
  readonly bytes_up: number;
  readonly bytes_down: number;
};

export type ReloadResult =
  | { readonly ok: true; readonly policy: string }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** A host that a group was refused, or would be in monitor mode. */
export type BlockedView = {
  readonly group: string;
  readonly host: string;
  readonly reason: string;
  readonly count: number;
  /** ISO 8601 */
  readonly last: string;
};

/** Exactly one of `group`, `identity` and `from` says who asks. */
export type ExplainAsk = {
  readonly group?: string | undefined;
  /** a token's id, or `group:NAME` */
  readonly identity?: string | undefined;
  /** client address */
  readonly from?: string | undefined;
  readonly method: string;
  readonly url: string;
};

/** `problem`: what is wrong with the question. */
export type ExplainDone =
  | { readonly group: string | null; readonly explanation: Explanation }
  | { readonly problem: string };

/** One lock, as `state/lockdown.ts` keeps it. */
export type LockView = {
  /** `*`: all */
  readonly group: string;
  readonly since: string;
  readonly by: string;
  readonly reason: string;
};

export type LockdownAsk = {
  readonly on: boolean;
  readonly group: string;
  readonly by: string;
  readonly reason: string;
};

/** `problem`: why a restart would not find it so; a lock is in force all the same. */
export type LockdownDone = { readonly changed: boolean; readonly problem: string | null };

/** `notes`: what operators should know and what is no reason to send nothing here. */
type Ready = { readonly ready: boolean; readonly why: readonly string[]; readonly notes?: readonly string[] };

/** Of a proxy in this process: every answer at once. */
export type LocalControl = {
  readonly ready: () => Ready;
  readonly status: () => StatusView;
  readonly groups: () => readonly GroupView[];
  readonly flows: () => readonly FlowView[];
  readonly reload: () => ReloadResult;
  /** most often refused first; at most `limit` */
  readonly blocked: (limit: number) => readonly BlockedView[];
  /** ends one open connection; false: there is none of that id */
  readonly cutFlow: (id: string) => boolean;
  readonly explain: (ask: ExplainAsk) => ExplainDone;
  readonly lockdown: () => { readonly locks: readonly LockView[] };
  /** resolves when what is locked has been cut */
  readonly setLockdown: (ask: LockdownAsk) => Promise<LockdownDone>;
  readonly approvals: () => Promise<ApprovalLists>;
  readonly decide: (decision: Decision) => Promise<Decided>;
  /** takes back a yes that still holds; `by`: the operator. False: there is none with this id */
  readonly forget: (id: string, by: string) => Promise<boolean>;
};

/** Of one process or of several, which take a moment to ask. */
export type ControlPlane = {
  readonly [K in keyof LocalControl]: (
    ...args: Parameters<LocalControl[K]>
  ) => Awaited<ReturnType<LocalControl[K]>> | Promise<Awaited<ReturnType<LocalControl[K]>>>;
};
