/**
 * The state of one cached fetch: its last good answer, its last failure, and the fetch under way, which everybody who
 * asks meanwhile shares. Made by `cached.ts`; `due.ts` says when to fetch again.
 */
import type { Clock } from '../base/clock.ts';
import type { CacheLimits } from './cached.ts';
import { Due } from './due.ts';
import { SecretSourceError } from './source.ts';

export type Fetched = {
  /** by field; wiped by who receives them */
  readonly values: ReadonlyMap<string, Buffer>;
  /** a field that is there and cannot be given, with the reason */
  readonly bad?: ReadonlyMap<string, SecretSourceError>;
  /** when the source says that the values changed, milliseconds since the epoch */
  readonly changedAt?: number;
  /** when to fetch again, `ms`; default: the source's `ttlMs` */
  readonly freshMs?: number;
  /** of no use after so long, `ms`, whether the source is down or not; default: its `staleMs` while it is down */
  readonly validMs?: number;
};

export type Unit = {
  /** A copy of the value. Throws SecretSourceError: why there is none. */
  get(field: string, label: string): Promise<Buffer>;
  /** fetches where it is due, forgets what is too old */
  tick(): void;
  /** its values seem outdated: due within `soonMs` of the last fetch */
  soon(): void;
  /** due now, whatever it knows */
  again(): void;
  changedAt(field: string): number | null;
  /** nobody asks for other fields any more: they are wiped */
  keep(fields: ReadonlySet<string>): void;
  /** stops what is under way and wipes */
  close(): void;
};

type UnitOptions = {
  /** for operators */
  readonly what: string;
  readonly clock: Clock;
  readonly limits: CacheLimits;
  readonly fetch: (signal: AbortSignal) => Promise<Fetched>;
  readonly onFetch: (outcome: 'ok' | 'error') => void;
  readonly onProblem: (message: string) => void;
  /** values came, changed or went */
  readonly onChange: () => void;
};

/** They tell of a source that answered: what it gave before is not valid any more. */
const ANSWERS: readonly string[] = ['not_found', 'denied', 'empty', 'too_large'];

export function createUnit(opts: UnitOptions): Unit {
  return new CachedUnit(opts);
}

class CachedUnit implements Unit {
  readonly #opts: UnitOptions;
  readonly #abort = new AbortController();
  /** fields that somebody asked for: no others are kept */
  readonly #wanted = new Set<string>();
  #good: (Fetched & { readonly at: number }) | null = null;
  #failure: SecretSourceError | null = null;
  #flight: Promise<void> | null = null;
  readonly #due: Due;

  constructor(opts: UnitOptions) {
    this.#opts = opts;
    this.#due = new Due(opts.clock, opts.limits.soonMs);
  }

  get #now(): number {
    return this.#opts.clock.mono();
  }

  async get(field: string, label: string): Promise<Buffer> {
    if (!this.#wanted.has(field)) {
      this.#wanted.add(field);
      // The answer that is here was stripped of it; one that is on its way will not be.
      this.#due.lacking();
    }
    if (this.#due.isDue) this.#start();
    if (this.#flight !== null) {
      const patience = this.#good?.values.has(field) === true ? this.#opts.limits.patienceMs : null;
      await within(this.#flight, patience);
    }
    return this.#give(field, label);
  }

  tick(): void {
    if (this.#good !== null && this.#isOver()) {
      this.#drop();
      this.#opts.onProblem(`${this.#opts.what}: no answer for too long, its keys are not used any more`);
      this.#opts.onChange();
    }
    if (this.#due.isDue) this.#start();
  }

  soon(): void {
    this.#due.soon();
  }

  again(): void {
    this.#due.atOnce();
  }

  changedAt(field: string): number | null {
    return this.#good?.values.has(field) === true ? (this.#good.changedAt ?? null) : null;
  }

  keep(fields: ReadonlySet<string>): void {
    for (const field of this.#wanted) if (!fields.has(field)) this.#wanted.delete(field);
    if (this.#good === null || [...this.#good.values.keys()].every((field) => fields.has(field))) return;
    const kept = new Map<string, Buffer>();
    for (const [field, bytes] of this.#good.values) {
      if (fields.has(field)) kept.set(field, bytes);
      else bytes.fill(0);
    }
    this.#good = { ...this.#good, values: kept };
  }

  close(): void {
    this.#abort.abort();
    this.#drop();
  }

  #start(): void {
    if (this.#flight !== null || this.#abort.signal.aborted) return;
    this.#due.begin();
    this.#flight = this.#fetch().finally(() => {
      this.#flight = null;
    });
  }

  /** Never rejects. */
  async #fetch(): Promise<void> {
    const { limits, fetch, onFetch, onChange } = this.#opts;
    let changed: boolean;
    try {
      const fetched = await fetch(this.#abort.signal);
      if (this.#abort.signal.aborted) return wipe(fetched.values.values());
      changed = this.#adopt(fetched);
      this.#due.ended(fetched.freshMs ?? limits.ttlMs);
      onFetch('ok');
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      // Only our own messages are known to hold no value.
      const known = error instanceof SecretSourceError ? error : null;
      changed = this.#fail(known ?? new SecretSourceError('unreadable', 'the source failed'));
      this.#due.ended(limits.failureTtlMs);
      onFetch('error');
    }
    if (changed) onChange();
  }

  #adopt(fetched: Fetched): boolean {
    const { what, onProblem } = this.#opts;
    const kept = new Map<string, Buffer>();
    for (const [field, bytes] of fetched.values) {
      if (this.#wanted.has(field)) kept.set(field, bytes);
      else bytes.fill(0);
    }
    // One that is over was refused to whoever asked meanwhile: the same bytes are news to them.
    const changed = this.#isOver() || !sameBytes(this.#good?.values, kept);
    if (this.#good !== null) wipe(this.#good.values.values());
    this.#good = { ...fetched, values: kept, at: this.#now };
    if (this.#failure !== null) onProblem(`${what}: answers again`);
    this.#failure = null;
    return changed;
  }

  #fail(failure: SecretSourceError): boolean {
    const { what, onProblem } = this.#opts;
    const answered = ANSWERS.includes(failure.code);
    const news = this.#failure?.message !== failure.message;
    this.#failure = failure;
    const dropped = this.#good !== null && (answered || this.#isOver());
    if (news) {
      const serving = this.#good !== null && !dropped ? '; the last value serves for now' : '';
      onProblem(`${what}: ${failure.message}${serving}`);
    }
    if (dropped) this.#drop();
    // Those who gave up waiting learn why.
    return dropped || (news && this.#good === null);
  }

  #isOver(): boolean {
    if (this.#good === null) return true;
    const age = this.#now - this.#good.at;
    if (this.#good.validMs !== undefined) return age >= this.#good.validMs;
    return this.#failure !== null && age > this.#opts.limits.staleMs;
  }

  #drop(): void {
    if (this.#good !== null) wipe(this.#good.values.values());
    this.#good = null;
  }

  #give(field: string, label: string): Buffer {
    const over = this.#isOver();
    if (over && this.#failure !== null) {
      throw new SecretSourceError(this.#failure.code, `${label}: ${this.#failure.message}`);
    }
    if (over && this.#good !== null) throw new SecretSourceError('timeout', `${label} is not valid any more`);
    const bytes = this.#good?.values.get(field);
    if (bytes !== undefined) return Buffer.from(bytes);
    const bad = this.#good?.bad?.get(field);
    if (bad !== undefined) throw new SecretSourceError(bad.code, `${label}: ${bad.message}`);
    throw new SecretSourceError('not_found', `${label} is not there`);
  }
}

/** `patienceMs`: null waits to the end, which has its own limit. */
async function within(flight: Promise<void>, patienceMs: number | null): Promise<void> {
  if (patienceMs === null) return flight;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, patienceMs);
  timer.unref();
  await Promise.race([flight, promise]);
  clearTimeout(timer);
  return undefined;
}

function sameBytes(
  before: ReadonlyMap<string, Buffer> | undefined,
  now: ReadonlyMap<string, Buffer>,
): boolean {
  if (before === undefined || before.size !== now.size) return false;
  return [...now].every(([field, bytes]) => before.get(field)?.equals(bytes) === true);
}

function wipe(buffers: Iterable<Buffer>): void {
  for (const bytes of buffers) bytes.fill(0);
}
