/**
 * Why a request would be allowed or refused: the same walk as the live decision (`decide.ts`), with every
 * rule's answer taken down. The `explain` command, the admin API and the `tests:` sections use it.
 */
import type { Reason } from '../flow/reason.ts';
import type { Authority } from '../flow/target.ts';
import type { Facts, Treat, Verdict } from '../flow/verdict.ts';
import { walkConnect, walkRequest } from './decide.ts';
import { matchesHost } from './host-pattern.ts';
import type { CompiledGroup, CompiledRule, GroupLimits, PolicySet, SecretSpec } from './model.ts';
import type { Note } from './survey.ts';
import { byteRateText, requestRateText } from './units.ts';

export type ExplainAsk = {
  readonly group: string;
  readonly at: Authority;
  readonly scheme: 'https' | 'http';
  /** `null`: only the CONNECT is asked about */
  readonly facts: Facts | null;
};

type ExplainedRule = {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly guardrail: boolean;
  readonly matched: boolean;
  readonly why: string;
};

export type Explanation = {
  readonly verdict: 'allow' | 'deny' | 'would_deny' | 'approve';
  readonly reason: Reason | null;
  /** the words that the agent gets with a refusal */
  readonly detail: string | null;
  /** `connect`: CONNECT alone decides, because the requests are not read */
  readonly stage: 'connect' | 'request';
  readonly rule: { readonly file: string; readonly line: number; readonly text: string } | null;
  readonly treat: Treat | null;
  /** environment names of the keys whose placeholders would be swapped */
  readonly keys: readonly string[];
  /** AWS key sets with which requests would be signed again; null: every region, every service */
  readonly aws: readonly {
    /** the variable of its access key id, as `keys` has it */
    readonly key: string;
    readonly regions: readonly string[] | null;
    readonly services: readonly string[] | null;
  }[];
  /** how a refusal is told: in answer to the CONNECT, or inside TLS of the proxy's own; null: as any HTTP response */
  readonly told: 'on_connect' | 'inside' | null;
  /** what the group may use up, as a policy file writes it; asked after the rules */
  readonly limits: Readonly<Record<string, string>>;
  readonly rules: readonly ExplainedRule[];
};

const TLS_PORT = 443;

/** Explains one request or CONNECT of a group; an unknown group is refused as it would be live. */
export function explain(set: PolicySet, ask: ExplainAsk): Explanation {
  const owner = set.groups.get(ask.group);
  const { verdict, notes, stage } = decide(set, ask);
  const treat = treatOf(verdict);
  const bound = treat === 'intercept' && owner !== undefined ? keysFor(owner, ask.at) : [];
  const all = [
    ...set.guardrails.map((rule) => ({ rule, guardrail: true })),
    ...(owner?.rules ?? []).map((rule) => ({ rule, guardrail: false })),
  ];
  return {
    ...outcome(verdict),
    stage,
    rule: verdict.rule === undefined ? null : pick(verdict.rule),
    treat,
    keys: bound.map(({ env }) => env),
    aws: bound.flatMap(({ env, aws }) => (aws?.role === 'id' ? [{ key: env, ...aws.set }] : [])),
    told: verdict.kind === 'deny' && stage === 'connect' ? toldOf(owner, ask) : null,
    limits: limitTexts(owner?.limits ?? {}),
    rules: all.map(({ rule, guardrail }) => ({ ...pick(rule.ref), guardrail, ...answerOf(notes, rule) })),
  };
}

type Answer = { readonly matched: boolean; readonly why: string };
type Notes = Map<CompiledRule, Answer>;

function answerOf(notes: Notes, rule: CompiledRule): Answer {
  return notes.get(rule) ?? { matched: false, why: 'not reached: an earlier rule decided' };
}

function decide(
  set: PolicySet,
  ask: ExplainAsk,
): { verdict: Verdict; notes: Notes; stage: 'connect' | 'request' } {
  const { group, at, scheme, facts } = ask;
  const notes: Notes = new Map();
  const note: Note = (rule, matched, why) => notes.set(rule, { matched, why });
  if (scheme === 'https' || facts === null) {
    const use = scheme === 'https' ? 'connect' : 'http';
    const verdict = walkConnect({ set, group, at, use }, note);
    const settled = verdict.kind !== 'allow' || verdict.treat === 'tunnel';
    if (settled || facts === null) return { verdict, notes, stage: 'connect' };
    notes.clear();
  }
  return { verdict: walkRequest({ set, group, at, use: scheme }, facts, note), notes, stage: 'request' };
}

function outcome(verdict: Verdict): Pick<Explanation, 'verdict' | 'reason' | 'detail'> {
  switch (verdict.kind) {
    case 'deny':
      return { verdict: 'deny', reason: verdict.reason, detail: verdict.detail ?? null };
    case 'ask':
      return { verdict: 'approve', reason: null, detail: null };
    case 'allow':
      return verdict.wouldDeny === undefined
        ? { verdict: 'allow', reason: null, detail: null }
        : { verdict: 'would_deny', reason: verdict.wouldDeny, detail: null };
    default:
      return verdict satisfies never;
  }
}

function treatOf(verdict: Verdict): Treat | null {
  if (verdict.kind === 'deny') return null;
  return verdict.kind === 'ask' ? verdict.then.treat : verdict.treat;
}

function keysFor(group: CompiledGroup, at: Authority): readonly SecretSpec[] {
  return group.secrets.filter(({ hosts }) => hosts.some((pattern) => matchesHost(pattern, at)));
}

/** Before a rule has allowed it nobody knows that a connection is TLS, but on its usual port. */
function toldOf(group: CompiledGroup | undefined, { at, scheme, facts }: ExplainAsk): Explanation['told'] {
  if (scheme === 'http' && facts !== null) return null;
  return group?.refuse === 'inside' && at.port === TLS_PORT ? 'inside' : 'on_connect';
}

function limitTexts({ connections, requests, upload, download }: GroupLimits): Record<string, string> {
  return {
    ...(connections === undefined ? {} : { connections: String(connections) }),
    ...(requests === undefined ? {} : { requests: requestRateText(requests) }),
    ...(upload === undefined ? {} : { upload: byteRateText(upload) }),
    ...(download === undefined ? {} : { download: byteRateText(download) }),
  };
}

function pick(ref: { file: string; line: number; text: string }) {
  return { file: ref.file, line: ref.line, text: ref.text };
}
