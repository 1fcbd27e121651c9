/**
 * The limits of contract 3, asked after the policy has said yes: open connections, requests per time, bytes per
 * window. One object per group of the policy in force; the numbers are in the store, so they outlive a reload. In monitor mode a
 * limit is told and lifted; the shares of the process (`base/seats.ts`) are not.
 */
import type { GroupUse, Limits, LimitsView, Told } from '../base/admission.ts';
import type { Clock } from '../base/clock.ts';
import type { Seat } from '../base/seats.ts';
import { type Denied, denied } from '../flow/reason.ts';
import { drained } from '../policy/limit.ts';
import type { CompiledGroup, GroupLimits } from '../policy/model.ts';
import { byteRateText, type Rate, requestRateText } from '../policy/units.ts';
import type { StateStore } from '../state/store.ts';
import { ByteBudget } from './budget.ts';

export type LimitKeeper = Limits & {
  /** A new policy is in force. `seats`: of all open connections. */
  readonly adopt: (groups: Iterable<CompiledGroup>, seats: Iterable<Seat>) => void;
  readonly view: (group: string) => LimitsView;
};

const NONE: GroupLimits = {};

export function createLimits(options: { store: StateStore; clock: Clock }): LimitKeeper {
  const uses = new Map<string, LimitedGroup>();
  // A group that is gone was refused by the gate; who asks all the same gets one that nobody else has.
  const of = (group: string): LimitedGroup => uses.get(group) ?? new LimitedGroup(options, group);
  return {
    of,
    adopt(groups, seats) {
      const named = new Map([...groups].map((group) => [group.name, group]));
      for (const name of uses.keys()) if (!named.has(name)) uses.delete(name);
      for (const group of named.values()) {
        const use = of(group.name);
        uses.set(group.name, use);
        use.adopt(group);
      }
      for (const seat of seats) if (seat.group !== null) uses.get(seat.group)?.countOpen(seat);
    },
    view: (group) => of(group).view(),
  };
}

class LimitedGroup implements GroupUse {
  limited = false;
  readonly #store: StateStore;
  readonly #clock: Clock;
  readonly #group: string;
  readonly #connectionsKey: string;
  readonly #requestsKey: string;
  readonly #upload: ByteBudget;
  readonly #download: ByteBudget;
  #limits = NONE;
  #monitor = false;
  /** as the store has told last */
  #open = 0;
  #requests = 0;
  #requestsAt = 0;

  constructor({ store, clock }: { store: StateStore; clock: Clock }, group: string) {
    this.#store = store;
    this.#clock = clock;
    this.#group = group;
    this.#connectionsKey = `connections ${group}`;
    this.#requestsKey = `requests ${group}`;
    this.#upload = new ByteBudget(store, clock, `upload ${group}`);
    this.#download = new ByteBudget(store, clock, `download ${group}`);
  }

  adopt(group: CompiledGroup): void {
    this.#limits = group.limits ?? NONE;
    this.#monitor = group.mode === 'monitor';
    this.limited = Object.keys(this.#limits).length > 0;
    this.#upload.adopt(this.#limits.upload ?? null);
    this.#download.adopt(this.#limits.download ?? null);
  }

  /** A connection from before its group had a limit: it counts from now on, however many there are. */
  countOpen(seat: Seat): void {
    if (this.#limits.connections !== undefined && !seat.counted) {
      this.#hold(seat, Number.POSITIVE_INFINITY, () => {});
    }
  }

  admit({ seat, request }: { seat: Seat | null; request: boolean }, told: Told): void {
    const full = seat?.take(this.#group) ?? null;
    if (full !== null) return told(full, false);
    const { connections } = this.#limits;
    if (seat === null || seat.counted || connections === undefined) return this.#request(request, told);
    return this.#hold(seat, connections, (held) =>
      held ? this.#request(request, told) : told(tooMany(connections), this.#monitor),
    );
  }

  up(bytes: number): boolean {
    return this.#upload.count(bytes) || this.#monitor;
  }

  down(bytes: number): boolean {
    return this.#download.count(bytes) || this.#monitor;
  }

  view(): LimitsView {
    const { connections, requests, upload, download } = this.#limits;
    const bytes = (limit: Rate | undefined, budget: ByteBudget) =>
      limit === undefined ? null : { limit: byteRateText(limit), used: Math.max(0, budget.used()) };
    return {
      connections: connections === undefined ? null : { limit: connections, used: this.#open },
      requests: requests === undefined ? null : this.#requestsView(requests),
      upload: bytes(upload, this.#upload),
      download: bytes(download, this.#download),
    };
  }

  #requestsView(rate: Rate) {
    const used = drained(this.#requests, this.#clock.mono() - this.#requestsAt, rate);
    return { limit: requestRateText(rate), used: Math.ceil(used) };
  }

  #hold(seat: Seat, max: number, told: (held: boolean) => void): void {
    this.#store.hold({ key: this.#connectionsKey, max }, (held, open) => {
      this.#open = open;
      // The store may answer late, and the connection be another group's by then.
      if (held && seat.group === this.#group) seat.count(this.#release);
      else if (held) this.#release();
      told(held);
    });
  }

  readonly #release = (): void => {
    this.#open = Math.max(0, this.#open - 1);
    this.#store.release(this.#connectionsKey);
  };

  #request(request: boolean, told: Told): void {
    if (!request) return told(null, false);
    const spent = this.#spent();
    if (spent !== null) return told(spent, this.#monitor);
    const { requests } = this.#limits;
    if (requests === undefined) return told(null, false);
    const ask = { key: this.#requestsKey, rate: requests, amount: 1 };
    return this.#store.take(ask, (wait, used) => {
      this.#requests = used;
      this.#requestsAt = this.#clock.mono();
      told(wait === 0 ? null : tooFast(requests, wait), this.#monitor);
    });
  }

  #spent(): Denied | null {
    const { upload, download } = this.#limits;
    const up = this.#upload.spentFor();
    if (up !== null && upload !== undefined) return this.#spentWords('upload', upload, up);
    const down = this.#download.spentFor();
    return down === null || download === undefined ? null : this.#spentWords('download', download, down);
  }

  #spentWords(what: string, budget: Rate, windowMs: number): Denied {
    const again = new Date(this.#clock.now() + windowMs).toISOString();
    const limit = byteRateText(budget);
    return denied('budget_spent', `This group has used its ${what} of ${limit}; it begins anew at ${again}.`);
  }
}

function tooMany(max: number): Denied {
  return denied('too_many_connections', `This group may have ${max} connections open at once.`);
}

/** `waitMs`: until the next request fits; never longer than a whole period. */
function tooFast(rate: Rate, waitMs: number): Denied {
  const detail = `This group may send ${requestRateText(rate)} requests.`;
  return { ...denied('rate_limited', detail), retryAfterMs: Math.min(waitMs, rate.perMs) };
}
