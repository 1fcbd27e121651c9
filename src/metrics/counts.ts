/** What is counted since the process began: filled by `metrics.ts`, shown by `register.ts`. */
import type { Treat } from '../flow/verdict.ts';
import type { GroupDecisions } from './decisions.ts';
import type { GroupExchanges } from './exchanges.ts';
import type { PlainHistogram } from './histogram.ts';
import { Tally } from './tally.ts';

export type PolicyInfo = {
  readonly group: string;
  readonly hash: string;
  readonly mode: 'enforce' | 'monitor';
};

export type SecretAge = { readonly key: string; readonly seconds: number; readonly available: boolean };

export type WorkerCount = { readonly ready: number; readonly missing: number };

/** `notAfter`: milliseconds since the epoch; `stage`: how far its change is, null: none is under way */
export type AuthorityCount = { readonly notAfter: number; readonly stage: string | null };

export type ReplicaCount = { readonly seen: number; readonly policies: number; readonly shared: boolean };

export type Counts = {
  readonly build: { readonly version: string; readonly commit: string };
  readonly decisions: Map<string, GroupDecisions>;
  readonly exchanges: Map<string, GroupExchanges>;
  readonly overhead: Map<Treat, PlainHistogram>;
  readonly open: Map<string, Map<Treat, number>>;
  readonly dns: Tally;
  readonly dnsAnswers: Tally;
  readonly upstream: Tally;
  readonly leaves: Tally;
  readonly reloads: Tally;
  readonly secrets: Tally;
  /** by group and outcome */
  readonly approvals: Tally;
  /** first label: what people did; second: what came of it */
  readonly people: Tally;
  readonly telemetry: Tally;
  /** messages to the webhook, by what became of them */
  readonly notices: Tally;
  /** requests to the admin side with a wrong token, by what they were told */
  readonly strangers: Tally;
  policies: readonly PolicyInfo[];
  /** null: none was tried yet */
  lastReload: 'ok' | 'error' | null;
  ages: () => readonly SecretAge[];
  /** null: this process has no workers */
  workers: () => WorkerCount | null;
  /** null: this process intercepts nothing */
  authority: () => AuthorityCount | null;
  /** null: it shares nothing with others */
  replicas: () => ReplicaCount | null;
  /** the newest lock, and when what it cut had ended here, milliseconds since the epoch; null: none since the start */
  cut: { readonly since: number; readonly over: number } | null;
  /** groups that are locked, `*` for all */
  locked: () => readonly string[];
  /** held entries by group */
  pending: () => ReadonlyMap<string, number>;
  records: number;
  failures: number;
};

export function noCounts(about: Pick<Counts, 'build'>): Counts {
  const counts: Counts = {
    ...about,
    decisions: new Map(),
    exchanges: new Map(),
    overhead: new Map(),
    open: new Map(),
    dns: new Tally(),
    dnsAnswers: new Tally(),
    upstream: new Tally(),
    leaves: new Tally(),
    reloads: new Tally(),
    secrets: new Tally(),
    approvals: new Tally(),
    people: new Tally(),
    telemetry: new Tally(),
    notices: new Tally(),
    strangers: new Tally(),
    policies: [],
    lastReload: null,
    ages: () => [],
    workers: () => null,
    authority: () => null,
    replicas: () => null,
    cut: null,
    locked: () => [],
    pending: () => new Map(),
    records: 0,
    failures: 0,
  };
  // A counter that is absent until its first event hides that event from rate().
  counts.leaves.add('ok', '', 0);
  counts.reloads.add('ok', '', 0);
  counts.reloads.add('error', '', 0);
  return counts;
}
