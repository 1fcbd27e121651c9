/** One group's part of the review. Pure; made by `review.ts`. */
import { type ReadRecord, textOf } from './read-record.ts';

type When = { readonly at: string; readonly time: number; readonly period: number };

export type Counted = { readonly calls: number; readonly first: string; readonly last: string };
export type HostReview = Counted & {
  readonly host: string;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** per period before, the latest first */
  readonly before: readonly number[];
};
export type RefusedReview = Counted & { readonly host: string; readonly reason: string };
export type KeyReview = Counted & { readonly key: string; readonly hosts: readonly string[] };
export type ApprovalReview = Counted & { readonly host: string; readonly by: string };
export type OddRate = { readonly host: string; readonly calls: number; readonly usual: number };

export type GroupReview = {
  /** '': nobody was identified */
  readonly group: string;
  readonly allowed: number;
  readonly refused: number;
  readonly wouldDeny: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** allowed and refused calls per day of the period */
  readonly days: readonly { readonly day: string; readonly allowed: number; readonly refused: number }[];
  /** most called first */
  readonly hosts: readonly HostReview[];
  readonly newHosts: readonly string[];
  readonly refusals: readonly RefusedReview[];
  readonly keys: readonly KeyReview[];
  /** refusals that have to do with keys */
  readonly misuse: readonly RefusedReview[];
  readonly approvals: readonly ApprovalReview[];
  readonly odd: readonly OddRate[];
  /** calls to hosts beyond what is kept */
  readonly leftOut: number;
};

/** Entries of one kind; what comes later is counted in `leftOut`. */
const MAX_ENTRIES = 5000;
const MAX_HOSTS_OF_KEY = 20;
const PERIODS = 4;
/** Odd: so many calls at least, and so many times the mean of the periods before. */
export const ODD_CALLS = 20;
export const ODD_TIMES = 3;
const MISUSE = /^(?:placeholder_|secret_leak|secret_requires_tls)/;

type Count = { calls: number; first: string; last: string };
type Host = Count & { up: number; down: number; before: number[] };

export class GroupTally {
  readonly #name: string;
  readonly #hosts = new Map<string, Host>();
  readonly #refusals = new Map<string, Count & { host: string; reason: string }>();
  readonly #keys = new Map<string, Count & { hosts: Set<string> }>();
  readonly #approvals = new Map<string, Count & { host: string; by: string }>();
  readonly #days = new Map<string, { allowed: number; refused: number }>();
  #allowed = 0;
  #refused = 0;
  #wouldDeny = 0;
  #up = 0;
  #down = 0;
  #seen = false;
  #leftOut = 0;

  constructor(name: string) {
    this.#name = name;
  }

  decision(record: ReadRecord, when: When): void {
    const verdict = record['verdict'];
    if (verdict === 'deny') return this.refusal(record, when);
    // Asked of the proxy itself (`/env` and the like): no call to anybody.
    if (textOf(record, 'host') === '') return;
    const host = this.#hostOf(record);
    if (when.period > 0) {
      if (host !== null) host.before[when.period - 1] = (host.before[when.period - 1] ?? 0) + 1;
      return;
    }
    this.#seen = true;
    this.#allowed += 1;
    this.#day(when.at).allowed += 1;
    if (verdict === 'would_deny') this.#wouldDeny += 1;
    if (host !== null) note(host, when.at);
    this.#approval(record, when.at);
    for (const key of list(record['keys'])) this.#key(key, textOf(record, 'host'), when.at);
  }

  refusal(record: ReadRecord, { at, period }: When): void {
    if (period > 0) return;
    this.#seen = true;
    this.#refused += 1;
    this.#day(at).refused += 1;
    const [host, reason] = [textOf(record, 'host'), textOf(record, 'reason')];
    const made = (): Count & { host: string; reason: string } => ({ host, reason, ...nothing() });
    const entry = this.#entry(this.#refusals, `${reason}\n${host}`, made);
    if (entry !== null) note(entry, at);
  }

  end(record: ReadRecord, { period }: When): void {
    if (period > 0 || textOf(record, 'host') === '') return;
    const [up, down] = [whole(record['bytes_up']), whole(record['bytes_down'])];
    this.#up += up;
    this.#down += down;
    const host = this.#hosts.get(textOf(record, 'host'));
    if (host === undefined) return;
    host.up += up;
    host.down += down;
  }

  /** Null: the group did nothing in the period. `compared`: of how many periods before there are records. */
  review(compared: number): GroupReview | null {
    if (!this.#seen) return null;
    const hosts = [...this.#hosts].filter(([, { calls }]) => calls > 0);
    const refusals = [...this.#refusals.values()].sort(byCalls);
    return {
      group: this.#name,
      allowed: this.#allowed,
      refused: this.#refused,
      wouldDeny: this.#wouldDeny,
      bytesUp: this.#up,
      bytesDown: this.#down,
      days: [...this.#days]
        .map(([day, of]) => ({ day, ...of }))
        .sort((a, b) => a.day.localeCompare(b.day, 'en')),
      hosts: hosts
        .map(([host, { up, down, ...rest }]) => ({ host, bytesUp: up, bytesDown: down, ...rest }))
        .sort(byCalls),
      newHosts:
        compared > 0
          ? hosts
              .filter(([, { before }]) => sum(before) === 0)
              .map(([host]) => host)
              .sort()
          : [],
      refusals,
      keys: [...this.#keys].map(([key, of]) => ({ key, ...of, hosts: [...of.hosts].sort() })).sort(byCalls),
      misuse: refusals.filter(({ reason }) => MISUSE.test(reason)),
      approvals: [...this.#approvals.values()].sort(byCalls),
      odd: compared > 0 ? hosts.flatMap(([host, of]) => odd(host, of, compared)) : [],
      leftOut: this.#leftOut,
    };
  }

  #hostOf(record: ReadRecord): Host | null {
    const made = (): Host => ({
      ...nothing(),
      up: 0,
      down: 0,
      before: Array.from({ length: PERIODS - 1 }, () => 0),
    });
    return this.#entry(this.#hosts, textOf(record, 'host'), made);
  }

  #key(key: string, host: string, at: string): void {
    const entry = this.#entry(this.#keys, key, () => ({ ...nothing(), hosts: new Set<string>() }));
    if (entry === null) return;
    note(entry, at);
    if (entry.hosts.size < MAX_HOSTS_OF_KEY) entry.hosts.add(host);
  }

  #approval(record: ReadRecord, at: string): void {
    const given = record['approval'];
    if (typeof given !== 'object' || given === null) return;
    const by: unknown = Reflect.get(given, 'by');
    if (typeof by !== 'string') return;
    const host = textOf(record, 'host');
    const entry = this.#entry(this.#approvals, `${by}\n${host}`, () => ({ host, by, ...nothing() }));
    if (entry !== null) note(entry, at);
  }

  #day(at: string): { allowed: number; refused: number } {
    const day = at.slice(0, 10);
    const known = this.#days.get(day) ?? { allowed: 0, refused: 0 };
    this.#days.set(day, known);
    return known;
  }

  #entry<T>(map: Map<string, T>, key: string, make: () => T): T | null {
    const known = map.get(key);
    if (known !== undefined) return known;
    if (map.size >= MAX_ENTRIES) {
      this.#leftOut += 1;
      return null;
    }
    const made = make();
    map.set(key, made);
    return made;
  }
}

function odd(host: string, { calls, before }: Host, periods: number): readonly OddRate[] {
  const usual = sum(before) / periods;
  return calls >= ODD_CALLS && usual > 0 && calls > ODD_TIMES * usual ? [{ host, calls, usual }] : [];
}

function nothing(): Count {
  return { calls: 0, first: '', last: '' };
}

function note(count: Count, at: string): void {
  count.calls += 1;
  if (count.first === '' || at < count.first) count.first = at;
  if (at > count.last) count.last = at;
}

function byCalls(a: Count, b: Count): number {
  return b.calls - a.calls;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function whole(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function list(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}
