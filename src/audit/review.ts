/**
 * The weekly review: what each group reached, what was new, what was refused, which keys were used and by whom decided,
 * set against the periods before. Fed record by record (`scan.ts`), in bounded memory. Pure; the `audit report` command
 * prints it.
 */
import { type ReadRecord, textOf } from './read-record.ts';
import { type GroupReview, GroupTally } from './review-group.ts';

export type OperatorAct = {
  readonly at: string;
  readonly action: string;
  readonly operator: string;
  readonly group: string | null;
  readonly outcome: string;
  readonly why: string | null;
};

export type PolicySeen = { readonly hash: string; readonly first: string; readonly last: string };

export type Review = {
  /** ISO 8601; what is reviewed, and from when on it is compared */
  readonly from: string;
  readonly until: string;
  readonly comparedFrom: string;
  /** the first record of the comparison; null: there is nothing to compare with, so nothing is called new or odd */
  readonly firstRecord: string | null;
  readonly records: number;
  readonly groups: readonly GroupReview[];
  readonly policies: readonly PolicySeen[];
  readonly operators: readonly OperatorAct[];
  /** acts of operators, policies and groups beyond what is kept */
  readonly leftOut: number;
};

/** Periods before the reviewed one that it is set against. */
export const PERIODS_BEFORE = 3;

const MAX_GROUPS = 1000;
const MAX_ACTS = 1000;
const MAX_POLICIES = 1000;
/** Refusals whose end has not come yet. */
const MAX_OPEN = 100_000;

export class ReviewBuilder {
  readonly #from: number;
  readonly #until: number;
  readonly #groups = new Map<string, GroupTally>();
  readonly #policies = new Map<string, { hash: string; first: string; last: string }>();
  readonly #acts: OperatorAct[] = [];
  /** requests that were refused at their decision: their end says so again */
  readonly #refused = new Set<string>();
  #first: string | null = null;
  #records = 0;
  #leftOut = 0;

  /** Milliseconds since the epoch. */
  constructor(span: { readonly from: number; readonly until: number }) {
    this.#from = span.from;
    this.#until = span.until;
  }

  /** From when on records are wanted, milliseconds since the epoch. */
  get comparedFrom(): number {
    return this.#from - PERIODS_BEFORE * (this.#until - this.#from);
  }

  add(record: ReadRecord): void {
    const at = textOf(record, 'at');
    const time = Date.parse(at);
    if (!(time >= this.comparedFrom && time < this.#until)) return;
    // Chains come one after the other.
    if (this.#first === null || at < this.#first) this.#first = at;
    const period = time >= this.#from ? 0 : Math.ceil((this.#from - time) / (this.#until - this.#from));
    if (period === 0) this.#records += 1;
    if (record['kind'] === 'operator') return this.#act(record, at, period);
    const group = this.#groupOf(record);
    if (group === null) return;
    if (record['kind'] === 'decision') this.#decision(group, record, { at, time, period });
    if (record['kind'] === 'end') this.#end(group, record, { at, time, period });
  }

  finish(): Review {
    const span = this.#until - this.#from;
    const age = this.#first === null ? 0 : this.#from - Date.parse(this.#first);
    const compared = Math.max(0, Math.min(PERIODS_BEFORE, Math.ceil(age / span)));
    const groups = [...this.#groups.values()]
      .map((one) => one.review(compared))
      .filter((one) => one !== null);
    return {
      from: new Date(this.#from).toISOString(),
      until: new Date(this.#until).toISOString(),
      comparedFrom: new Date(this.comparedFrom).toISOString(),
      firstRecord: compared > 0 ? this.#first : null,
      records: this.#records,
      groups: groups.sort((a, b) => a.group.localeCompare(b.group, 'en')),
      policies: [...this.#policies.values()].sort((a, b) => a.first.localeCompare(b.first, 'en')),
      operators: this.#acts.sort((a, b) => a.at.localeCompare(b.at, 'en')),
      leftOut: this.#leftOut,
    };
  }

  #decision(group: GroupTally, record: ReadRecord, when: When): void {
    if (when.period === 0) this.#policy(record, when.at);
    if (record['verdict'] === 'deny') this.#open(textOf(record, 'request_id'));
    // A CONNECT whose requests are read is counted by those.
    if (record['stage'] === 'connect' && record['treat'] === 'intercept') return;
    group.decision(record, when);
  }

  /** What was let in and refused for what it then sent is a refusal as well. */
  #end(group: GroupTally, record: ReadRecord, when: When): void {
    const known = this.#refused.delete(textOf(record, 'request_id'));
    if (!known && record['verdict'] === 'deny') group.refusal(record, when);
    if (record['stage'] === 'connect' && record['treat'] === 'intercept') return;
    group.end(record, when);
  }

  #open(id: string): void {
    if (this.#refused.size >= MAX_OPEN) this.#refused.clear();
    this.#refused.add(id);
  }

  #groupOf(record: ReadRecord): GroupTally | null {
    const name = textOf(record, 'group');
    const known = this.#groups.get(name);
    if (known !== undefined) return known;
    if (this.#groups.size >= MAX_GROUPS) {
      this.#leftOut += 1;
      return null;
    }
    const made = new GroupTally(name);
    this.#groups.set(name, made);
    return made;
  }

  #policy(record: ReadRecord, at: string): void {
    const hash = textOf(record, 'policy');
    const known = this.#policies.get(hash);
    if (known !== undefined) {
      if (at > known.last) known.last = at;
      if (at < known.first) known.first = at;
    } else if (hash !== '' && this.#policies.size < MAX_POLICIES) {
      this.#policies.set(hash, { hash, first: at, last: at });
    }
  }

  #act(record: ReadRecord, at: string, period: number): void {
    if (period > 0) return;
    if (this.#acts.length >= MAX_ACTS) {
      this.#leftOut += 1;
      return;
    }
    const [group, why] = [textOf(record, 'group'), textOf(record, 'why')];
    this.#acts.push({
      at,
      action: textOf(record, 'action'),
      operator: textOf(record, 'operator'),
      group: group === '' ? null : group,
      outcome: textOf(record, 'outcome'),
      why: why === '' ? null : why,
    });
  }
}

/** `period`: 0 for what is reviewed, 1 for the one before, and so on. */
export type When = { readonly at: string; readonly time: number; readonly period: number };
