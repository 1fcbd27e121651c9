/** What a ruling of a person covers, under the rule as it stands now, and what is told. Pure; asked by `approvals.ts`. */
import type { ApprovalView, Decision } from '../base/approvals.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Ask } from '../flow/verdict.ts';
import type { Found, Ruling } from '../state/rulings.ts';

/** `Retry-After` when nobody decided in time. */
const ASK_AGAIN_MS = 30_000;

/** The ruling that decides without asking again; null: a person must. `now`: milliseconds since the epoch. */
export function coveredBy({ ruling }: Found, ask: Ask, now: number): Ruling | null {
  // A clock that was set back would make a yes last longer.
  if (ruling === null || ruling.at > now || ruling.until <= now) return null;
  // The rule may have been tightened since.
  const forMs = ruling.decision === 'allow' ? ask.rememberMs : ask.cooldownMs;
  if (ruling.at + forMs <= now) return null;
  return ruling.decision === 'allow' && ask.secondFactor && !ruling.verified ? null : ruling;
}

/** When something of the rule can be allowed again; milliseconds since the epoch, in the past: now. */
export function coolingFrom({ coolUntil }: Found, ask: Ask, now: number): number {
  return Math.min(coolUntil, now + ask.cooldownMs);
}

/** The decision as it is kept. `now`: milliseconds since the epoch. */
export function rulingOf(
  view: ApprovalView,
  { decision, by, reason, verified }: Decision,
  { ask, now, remembers }: { readonly ask: Ask; readonly now: number; readonly remembers: boolean },
): Ruling {
  const allow = decision === 'allow';
  const coversMs = allow ? (remembers ? ask.rememberMs : 0) : ask.cooldownMs;
  const query = view.path.indexOf('?');
  const path = query === -1 ? view.path : `${view.path.slice(0, query)}?...`;
  return {
    decision,
    key: view.key,
    id: view.id,
    group: view.group,
    rule: ask.rule.text,
    what: `${view.method} ${view.host}${path}`.slice(0, 512),
    by,
    reason: allow ? null : reason,
    verified,
    at: now,
    until: now + coversMs,
    coolUntil: allow ? now + ask.cooldownMs : now,
  };
}

export const FULL: Denied = denied('overloaded', 'Too many calls of this group wait for a person already.');

export function timeout(ask: Ask): Denied {
  const words = 'Nobody decided in time whether this call may be made. Ask again when somebody can.';
  return { ...denied('approval_timeout', words, ask.rule), retryAfterMs: ASK_AGAIN_MS };
}

export function refusedBy(ask: Ask, { id, by, reason }: Ruling): Denied {
  const words = reason ?? 'A person has refused this call.';
  return { ...denied('approval_denied', words, ask.rule), ruling: { id, by } };
}
