/**
 * Decisions of one group by verdict, reason and host. The host of what was allowed is a rule's pattern, a
 * closed set; what was refused a sandbox makes up, so only the 1,000 most recent refused hosts keep a label
 * of their own and the rest is `other` (contract 9). A host that drops out takes its counts there, so that
 * sums over hosts never go down.
 */
import { LRUCache } from 'lru-cache';
import type { DecisionEvent } from '../audit/event.ts';
import { Tally } from './tally.ts';

export const MAX_REFUSED_HOSTS = 1000;
/** Hosts whose last refusal is told with its time. */
export const MAX_NEWEST_HOSTS = 50;
const OTHER_HOSTS = 'other';

export type DecisionCount = {
  readonly host: string;
  readonly verdict: string;
  readonly reason: string;
  readonly count: number;
};

/** One row of `GET /api/v1/blocked`, without its group. */
export type RefusedHost = {
  readonly host: string;
  readonly reason: string;
  readonly count: number;
  /** milliseconds since the epoch */
  readonly last: number;
};

/** What a sandbox asks the proxy itself is allowed and goes to no host. */
const NO_HOST = '';

/** What of an event is counted. */
type Counted = Pick<DecisionEvent, 'verdict' | 'reason' | 'host' | 'hostLabel'>;
type Refused = { readonly tally: Tally; last: number; reason: string };

/** When a host was refused last, and why. */
type Refusal = { readonly host: string; readonly reason: string; readonly last: number };

export class GroupDecisions {
  readonly #byPattern = new Map<string, Tally>();
  readonly #other = new Tally();
  readonly #refused = new LRUCache<string, Refused>({
    max: MAX_REFUSED_HOSTS,
    dispose: (value) => this.#other.merge(value.tally),
  });

  /** `now`: milliseconds since the epoch. */
  count(event: Counted, now: () => number): void {
    this.#tallyOf(event, now).add(event.verdict, event.reason ?? '');
  }

  /** A row at zero: without one, `increase()` does not see the first refusal of a group. */
  begin(verdict: string, reason: string): void {
    this.#other.add(verdict, reason, 0);
  }

  rows(): DecisionCount[] {
    // A pattern and a refused host can be the same text: one series, one row.
    const byHost = new Map<string, Tally>();
    const add = (host: string, tally: Tally): void => {
      const known = byHost.get(host) ?? new Tally();
      known.merge(tally);
      byHost.set(host, known);
    };
    for (const [pattern, tally] of this.#byPattern) add(pattern, tally);
    for (const [host, refused] of this.#refused.entries()) add(host, refused.tally);
    add(OTHER_HOSTS, this.#other);
    return [...byHost].flatMap(([host, tally]) =>
      [...tally.rows()].map(([verdict, reason, count]) => ({ host, verdict, reason, count })),
    );
  }

  /** What was refused (or would be, in monitor mode), per host and reason. */
  refused(): RefusedHost[] {
    return [...this.#refused.entries()].flatMap(([host, { tally, last }]) =>
      [...tally.rows()].map(([, reason, count]) => ({ host, reason, count, last })),
    );
  }

  /** The last refusals of different hosts, newest first. */
  newest(): Refusal[] {
    const newest: Refusal[] = [];
    for (const [host, { last, reason }] of this.#refused.entries()) {
      if (newest.push({ host, reason, last }) === MAX_NEWEST_HOSTS) break;
    }
    return newest;
  }

  #tallyOf(event: Counted, now: () => number): Tally {
    const pattern = event.hostLabel ?? (event.reason === null ? NO_HOST : null);
    if (pattern !== null) {
      let tally = this.#byPattern.get(pattern);
      if (tally === undefined) {
        tally = new Tally();
        this.#byPattern.set(pattern, tally);
      }
      return tally;
    }
    const host = event.host ?? NO_HOST;
    let refused = this.#refused.get(host);
    if (refused === undefined) {
      refused = { tally: new Tally(), last: 0, reason: '' };
      this.#refused.set(host, refused);
    }
    refused.last = now();
    refused.reason = event.reason ?? '';
    return refused.tally;
  }
}
