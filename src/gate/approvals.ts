/**
 * The desk: requests that an `approve` rule holds, one entry per group, host, method and path, until a person decides,
 * the wait runs out, the client leaves, or the request would be refused anyway. Held ones live and die with this process;
 * decisions that hold for a while are kept by `state/rulings.ts`. The exchange calls `hold`, the admin side `decide`.
 */
import type {
  ApprovalView,
  Decided,
  Decision,
  Desk,
  DeskEvent,
  Held,
  HeldEnd,
  Left,
} from '../base/approvals.ts';
import type { Clock } from '../base/clock.ts';
import type { FairShare } from '../base/fair-share.ts';
import type { Approval } from '../flow/approval.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Ask } from '../flow/verdict.ts';
import type { Found, Ruling, Rulings } from '../state/rulings.ts';
import { Entries } from './approval-entries.ts';
import { askNow, type Entry, type Over, type Waiter } from './approval-entry.ts';
import { coolingFrom, coveredBy, FULL, refusedBy, rulingOf, timeout } from './approval-rules.ts';

/** Requests that wait for the same decision. */
const MAX_WAITING_OF_ENTRY = 100;

export type DeskOptions = {
  readonly clock: Clock;
  readonly newId: () => string;
  readonly rulings: Rulings;
  /** requests that wait, with a part for every group */
  readonly waiting: FairShare;
  readonly draining: () => boolean;
};

/** `over`: what late answers are told, where it is not `how`. */
type Ending = { how: HeldEnd; answer: Approval | Denied | null; over?: Over };
const DRAINING = denied('draining');

export class ApprovalDesk implements Desk {
  readonly #opts: DeskOptions;
  readonly #entries: Entries;
  readonly #watchers = new Set<(event: DeskEvent) => void>();

  constructor(opts: DeskOptions) {
    this.#opts = opts;
    this.#entries = new Entries(opts.newId);
  }

  /** Hears of what happens at the desk; a watcher must not throw. */
  subscribe(watcher: (event: DeskEvent) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  // ---- from exchanges

  hold(held: Held, ask: Ask): (how: Left) => void {
    const { clock, rulings } = this.#opts;
    const since = clock.now();
    const waiter: Waiter = {
      held,
      ask,
      since,
      expires: since + ask.waitMs,
      deadline: clock.mono() + ask.waitMs,
    };
    let gone = false;
    const { group } = held.identity;
    const end = (how: HeldEnd, answer: Approval | Denied): void => {
      gone = true;
      this.#count(group, how);
      held.told(answer);
    };
    rulings.find({ key: held.key, group, rule: ask.rule.text }, (found) => {
      if (gone) return;
      if (this.#opts.draining()) return end('refused', DRAINING);
      const ruling = coveredBy(found, ask, clock.now());
      if (ruling?.decision === 'allow') return end('remembered', approvalOf(held, ruling));
      if (ruling?.decision === 'deny') return end('cooled', refusedBy(ask, ruling));
      const full = this.#sit(waiter, found);
      if (full !== null) end('overloaded', full);
    });
    return (how) => {
      if (gone) return;
      gone = true;
      this.#leave(waiter, how);
    };
  }

  /** Null: it waits, and whoever decides hears of it. */
  #sit(waiter: Waiter, found: Found): Denied | null {
    const { waiting, clock } = this.#opts;
    const { held } = waiter;
    const { group } = held.identity;
    const entry = this.#entries.of(held.key);
    const full =
      entry === undefined ? !this.#entries.hasRoom(waiter) : entry.waiters.size >= MAX_WAITING_OF_ENTRY;
    if (full) return FULL;
    if (!waiting.take(group)) return FULL;
    if (entry !== undefined) {
      entry.waiters.add(waiter);
      return null;
    }
    const made = this.#entries.open(waiter, coolingFrom(found, waiter.ask, clock.now()));
    this.#tell({ kind: 'held', view: made.view(clock.now()) });
    return null;
  }

  // ---- from the admin side

  /** Oldest first. */
  list(): ApprovalView[] {
    const now = this.#opts.clock.now();
    return [...this.#entries.all()].map((entry) => entry.view(now));
  }

  /** Entries per group. */
  pending(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { group } of this.#entries.all()) counts.set(group, (counts.get(group) ?? 0) + 1);
    return counts;
  }

  /** Never throws. `told` is called once; a second decision meanwhile is `over`. */
  decide(decision: Decision, told: (decided: Decided) => void): void {
    const entry = this.#entries.decidedBy(decision);
    if (entry === undefined) return told(this.#entries.late(decision.id));
    if (entry.deciding !== null) return told({ kind: 'over', ...entry.deciding });
    const { clock, rulings } = this.#opts;
    const ask = askNow(entry.front);
    if (decision.decision === 'allow' && ask.secondFactor && !decision.verified)
      return told({ kind: 'code_needed' });
    // What comes to wait, or to be said, while the decision is written down was not decided on.
    const remembers = decision.decision === 'allow' && decision.remember && ask.rememberMs > 0;
    const all = decision.decision === 'deny' || remembers;
    const chosen = all ? [...entry.waiters] : entry.same(decision.like?.likeness);
    const view = entry.view(clock.now());
    entry.deciding = { how: decision.decision === 'allow' ? 'allowed' : 'denied', by: decision.by };
    const of = { key: entry.key, group: entry.group, rule: ask.rule.text };
    return rulings.find(of, (found) => {
      const now = clock.now();
      entry.coolUntil = coolingFrom(found, ask, now);
      if (decision.like === undefined && decision.decision === 'allow' && entry.coolUntil > now) {
        this.#undecided(entry);
        return told({ kind: 'cooling', until: new Date(entry.coolUntil).toISOString() });
      }
      const ruling = rulingOf(view, decision, { ask, now, remembers });
      const finish = (failed: Error | null): void => {
        // A no holds at once, also where it cannot be kept; a yes without its rule's terms does not.
        if (failed !== null && decision.decision === 'allow') {
          this.#undecided(entry);
          return told({ kind: 'failed' });
        }
        const first = decision.like === undefined;
        return told(this.#carryOut(entry, { ruling, view, chosen, ask, first }));
      };
      // Another process that holds the same has written it down.
      const kept = decision.like !== undefined || (ruling.until <= now && ruling.coolUntil <= now);
      if (kept) return finish(null);
      return rulings.put(ruling, finish);
    });
  }

  #carryOut(
    entry: Entry,
    of: { ruling: Ruling; view: ApprovalView; chosen: readonly Waiter[]; ask: Ask; first: boolean },
  ): Decided {
    const { ruling, view, ask } = of;
    const chosen = of.chosen.filter((waiter) => entry.waiters.has(waiter));
    const how = ruling.decision === 'allow' ? 'allowed' : 'denied';
    this.#entries.end(entry, { how, by: ruling.by });
    for (const waiter of chosen) this.#remove(entry, waiter, { how, by: ruling.by });
    entry.deciding = null;
    // What is left was not decided on, so it is not what that id stands for.
    if (entry.waiters.size > 0) this.#rename(entry, { how, by: ruling.by });
    const remembered = how === 'allowed' && ruling.until > ruling.at;
    if (chosen.length === 0 && !remembered) return { kind: 'over', how: 'withdrawn', by: null };
    // What another process shows was told of there.
    if (of.first) this.#tell({ kind: 'decided', view, decision: ruling.decision, by: ruling.by });
    for (const { held } of chosen) {
      this.#count(entry.group, how);
      held.told(how === 'allowed' ? approvalOf(held, ruling) : refusedBy(ask, ruling));
    }
    const until = remembered ? new Date(ruling.until).toISOString() : null;
    return { kind: 'done', group: entry.group, released: chosen.length, remembered: until };
  }

  #undecided(entry: Entry): void {
    entry.deciding = null;
    if (entry.stale && entry.waiters.size > 0) this.#rename(entry, { how: 'withdrawn', by: null });
  }

  // ---- from the lifecycle

  /** Ends what was decided elsewhere, and gives up what has waited long enough. `now`: monotonic milliseconds. */
  tick(now: number): void {
    if (this.#entries.size > 0) this.#opts.rulings.list((rulings) => rulings.forEach(this.#applyTo));
    for (const entry of this.#entries.all()) {
      if (entry.deciding !== null) continue;
      for (const waiter of entry.waiters) {
        if (waiter.deadline <= now) this.#end(entry, waiter, { how: 'timeout', answer: timeout(waiter.ask) });
      }
    }
  }

  /** Another worker or replica was told while the same came to wait here, and did not know of it. */
  readonly #applyTo = (ruling: Ruling): void => {
    const entry = this.#entries.of(ruling.key);
    if (entry === undefined || entry.deciding !== null) return;
    const yes = ruling.decision === 'allow';
    const over: Over = { how: yes ? 'allowed' : 'denied', by: ruling.by };
    for (const waiter of entry.waiters) {
      const ask = askNow(waiter);
      if (coveredBy({ ruling, coolUntil: 0 }, ask, this.#opts.clock.now()) === null) continue;
      const answer = yes ? approvalOf(waiter.held, ruling) : refusedBy(ask, ruling);
      this.#end(entry, waiter, { how: yes ? 'remembered' : 'cooled', answer, over });
    }
  };

  /** A new policy is in force; what it refuses was cut before. What it allows need not wait. */
  review(): void {
    for (const entry of this.#entries.all()) {
      for (const waiter of entry.waiters) {
        if (!('kind' in waiter.held.judge())) this.#end(entry, waiter, { how: 'allowed', answer: null });
      }
    }
  }

  /** The process is about to stop: nobody is asked any more. */
  drain(): void {
    for (const entry of this.#entries.all()) {
      for (const waiter of entry.waiters) {
        this.#end(entry, waiter, { how: 'refused', answer: DRAINING });
      }
    }
  }

  #end(entry: Entry, waiter: Waiter, of: Ending): void {
    if (!entry.waiters.has(waiter)) return;
    this.#remove(entry, waiter, of.over ?? { how: of.how, by: null });
    this.#count(entry.group, of.how);
    waiter.held.told(of.answer);
  }

  #leave(waiter: Waiter, how: Left): void {
    this.#count(waiter.held.identity.group, how);
    const entry = this.#entries.of(waiter.held.key);
    if (entry?.waiters.has(waiter) === true) this.#remove(entry, waiter, { how, by: null });
  }

  #remove(entry: Entry, waiter: Waiter, over: Over): void {
    const left = entry.remove(waiter);
    this.#opts.waiting.give(entry.group);
    if (left === 'empty') this.#entries.close(entry, over);
    else if (left === 'changed' && entry.deciding !== null) entry.stale = true;
    else if (left === 'changed') this.#rename(entry, over);
  }

  #rename(entry: Entry, over: Over): void {
    entry.stale = false;
    this.#entries.rename(entry, over);
    this.#tell({ kind: 'held', view: entry.view(this.#opts.clock.now()) });
  }

  #count(group: string, how: HeldEnd): void {
    this.#tell({ kind: 'ended', group, how });
  }

  #tell(event: DeskEvent): void {
    for (const watcher of this.#watchers) watcher(event);
  }
}

/** The one place where an Approval is made. */
function approvalOf({ identity, target, scheme, facts }: Held, { id, by }: Ruling): Approval {
  return { id, by, of: { identity, target, scheme, facts } } as Approval;
}
