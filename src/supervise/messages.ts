/**
 * What the supervising process and its workers say to each other, by the channel of `child_process.fork` with its
 * `advanced` serialization (Maps arrive as Maps). Both ends are the same program. Types, and the guards of the border.
 */
import type { ApprovalLists, Decided, Decision, DeskEvent } from '../base/approvals.ts';
import type {
  BlockedView,
  ExplainAsk,
  ExplainDone,
  FlowView,
  GroupView,
  ReloadResult,
  StatusView,
} from '../base/control.ts';
import type { Endpoint, Settings } from '../config/settings.ts';
import type { MetricsJson } from '../metrics/merge.ts';
import type { Lock } from '../state/lockdown.ts';
import type { BudgetAsk, HoldAsk, RateAsk } from '../state/store.ts';

/** A token of `mint:`, or what a worker fetched from `command:`, `kv:` or `stronghold:`, under the name of its key. */
export type MintedValue = { readonly id: string; readonly bytes: Uint8Array };

/** Everything a worker needs beside the files: what it runs with cannot differ from the others. */
export type Begin = {
  readonly kind: 'begin';
  /** from 1 */
  readonly worker: number;
  /** how many there are */
  readonly workers: number;
  readonly settings: Settings;
  readonly version: string;
  /** the supervising process's variables: keys among them do not stand in the worker's own environment */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** that the supervising process holds and could not write */
  readonly locks: readonly Lock[];
  /** addresses of the other processes that no sandbox may reach */
  readonly own: readonly Endpoint[];
};

/** What a worker may be asked, and what it answers. */
export type Answers = {
  readonly report: WorkerReport;
  readonly flows: readonly FlowView[];
  readonly reload: ReloadResult;
  readonly metrics: MetricsJson;
  /** it has looked at the lockdown, and cut what is locked */
  readonly lockdown: true;
  readonly approvals: ApprovalLists;
  readonly decide: Decided;
  readonly forget: boolean;
  readonly blocked: readonly BlockedView[];
  /** was there such a flow */
  readonly cut: boolean;
  readonly explain: ExplainDone;
};

/** What a question is about, where it is about something. */
type About = {
  /** locks that stand in no file */
  readonly lockdown: readonly Lock[];
  readonly decide: Decision;
  readonly forget: { readonly id: string; readonly by: string };
  /** how many at most */
  readonly blocked: number;
  /** id of the flow */
  readonly cut: string;
  readonly explain: ExplainAsk;
};

export type Question = keyof Answers;
export type AboutOf<K extends Question> = K extends keyof About ? About[K] : null;
export type Asked = {
  readonly [K in Question]: {
    readonly kind: 'ask';
    readonly id: number;
    readonly what: K;
    readonly about: AboutOf<K>;
  };
}[Question];
export type AnswerTo<K extends Question> = {
  readonly [P in K]: { readonly kind: P; readonly id: number; readonly value: Answers[P] };
}[K];

export type ToWorker =
  | Begin
  | { readonly kind: 'own'; readonly own: readonly Endpoint[] }
  /** the two arguments of `told` in `state/store.ts` */
  | {
      readonly kind: 'counted';
      readonly id: number;
      readonly first: number | boolean;
      readonly second: number;
    }
  | Asked
  /** of another worker: taken out of answers here, too */
  | { readonly kind: 'minted'; readonly minted: readonly MintedValue[] }
  /** a worker has begun that knows of nothing */
  | { readonly kind: 'tell-minted' }
  /** `now`: cut what is open instead of draining */
  | { readonly kind: 'stop'; readonly now: boolean };

export type WorkerReport = { readonly status: StatusView; readonly groups: readonly GroupView[] };

/** Where a worker listens, with real ports where 0 was asked for: those that follow take the same. */
export type Addresses = {
  readonly proxy: Endpoint;
  readonly transparent: Readonly<Record<'tls' | 'http' | 'dns', Endpoint | null>>;
};

/** What a worker asks of the numbers behind limits. */
export type Counted =
  | { readonly kind: 'take'; readonly id: number; readonly ask: RateAsk }
  | { readonly kind: 'spend'; readonly id: number; readonly ask: BudgetAsk }
  | { readonly kind: 'hold'; readonly id: number; readonly ask: HoldAsk }
  | { readonly kind: 'release'; readonly key: string };

export type FromWorker =
  | Counted
  | { readonly kind: 'ready'; readonly at: Addresses; readonly own: readonly Endpoint[] }
  | { readonly kind: 'failed'; readonly message: string; readonly code: string }
  /** what operators hear of */
  | { readonly kind: 'desk'; readonly event: DeskEvent }
  /** tokens that it had made, and keys that it fetched; they are passed on and not kept */
  | { readonly kind: 'minted'; readonly minted: readonly MintedValue[] }
  | AnswerTo<Question>;

const TO_WORKER: ReadonlySet<unknown> = new Set<ToWorker['kind']>([
  'begin',
  'own',
  'counted',
  'ask',
  'stop',
  'minted',
  'tell-minted',
]);
const FROM_WORKER: ReadonlySet<unknown> = new Set<FromWorker['kind']>([
  'ready',
  'failed',
  'report',
  'flows',
  'reload',
  'metrics',
  'lockdown',
  'approvals',
  'decide',
  'forget',
  'desk',
  'minted',
  'blocked',
  'cut',
  'explain',
  'take',
  'spend',
  'hold',
  'release',
]);

export function isToWorker(value: unknown): value is ToWorker {
  return TO_WORKER.has(kindOf(value));
}

export function isFromWorker(value: unknown): value is FromWorker {
  return FROM_WORKER.has(kindOf(value));
}

function kindOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
}
