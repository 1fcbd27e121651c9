/**
 * What `command:`, `stronghold:`, `kv:` and `mint:` have in common: their values come from elsewhere, slowly, and sometimes
 * not at all. One fetch at a time for all values of a unit (a command, a deployment, a path); what it gave is kept
 * and fetched again before it is old, what failed is tried again soon, and while the source is down the last good
 * value serves for a limited time. An answer that takes a value away is not a failure: it counts at once.
 */
import type { Clock } from '../base/clock.ts';
import { createSlots, type Slots } from './slots.ts';
import { type SecretSource, SecretSourceError, valueFrom } from './source.ts';
import { createUnit, type Fetched, type Unit } from './unit.ts';

export type CacheLimits = {
  /** a value is fetched again after so long, `ms` */
  readonly ttlMs: number;
  /** a failed fetch is tried again after so long, `ms` */
  readonly failureTtlMs: number;
  /** how long a value serves while its source is down, `ms` */
  readonly staleMs: number;
  /** time limit of one fetch, `ms` */
  readonly fetchMs: number;
  /** what a refused key asks for comes at most once in so long, `ms` */
  readonly soonMs: number;
  /** how long one who asks waits for a newer value while there is one to give, `ms` */
  readonly patienceMs: number;
  readonly tickMs: number;
  /** fetches at once */
  readonly atOnce: number;
};

const LIMITS: CacheLimits = {
  ttlMs: 300_000,
  failureTtlMs: 15_000,
  staleMs: 3_600_000,
  fetchMs: 10_000,
  soonMs: 30_000,
  patienceMs: 250,
  tickMs: 1_000,
  atOnce: 4,
};
/** Commands, deployments or paths of one kind. */
const MAX_UNITS = 256;

/** How the running proxy hears of fetches. */
export type SourceEvents = {
  readonly clock: Clock;
  readonly limits?: Partial<CacheLimits>;
  readonly onFetch?: (source: string, outcome: 'ok' | 'error') => void;
  /** in words for operators, once for each change; never a value */
  readonly onProblem?: (message: string) => void;
};

export type CachedOptions = SourceEvents & {
  readonly kind: string;
  /** which fetch gives this name, and under which field of it */
  readonly split: (name: string) => { readonly unit: string; readonly field: string };
  /** the unit as operators know it */
  readonly shown?: (unit: string) => string;
  /** Must end soon after `signal` is aborted. Throws SecretSourceError. */
  readonly fetch: (unit: string, signal: AbortSignal) => Promise<Fetched>;
  readonly close?: () => void;
};

export function createCachedSource(opts: CachedOptions): SecretSource {
  const limits = { ...LIMITS, ...opts.limits };
  const cache = new Cache({ ...opts, limits }, createSlots(limits.atOnce));
  return {
    kind: opts.kind,
    get: (name) => cache.get(name),
    watch: (onChange) => cache.watch(onChange),
    cached: {
      keep: (names) => cache.keep(names),
      refreshSoon: (names) => cache.refreshSoon(names),
      reread: (names) => cache.reread(names),
    },
    changedAt: (name) => cache.changedAt(name),
    close: () => {
      cache.close();
      opts.close?.();
    },
  };
}

class Cache {
  readonly #opts: CachedOptions & { readonly limits: CacheLimits };
  readonly #slots: Slots;
  readonly #units = new Map<string, Unit>();
  readonly #listeners = new Set<() => void>();
  #timer: NodeJS.Timeout | null = null;

  constructor(opts: CachedOptions & { readonly limits: CacheLimits }, slots: Slots) {
    this.#opts = opts;
    this.#slots = slots;
  }

  async get(name: string) {
    const { unit, field } = this.#opts.split(name);
    const label = `${this.#opts.kind}:${name}`;
    const bytes = await this.#unit(unit).get(field, label);
    return valueFrom(label, bytes);
  }

  watch(onChange: () => void): () => void {
    this.#listeners.add(onChange);
    this.#timer ??= setInterval(() => this.#tick(), this.#opts.limits.tickMs).unref();
    return () => {
      this.#listeners.delete(onChange);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#timer ?? undefined);
      this.#timer = null;
    };
  }

  /** Nobody asks for the others any more: they are wiped. */
  keep(names: readonly string[]): void {
    const wanted = new Map<string, Set<string>>();
    for (const name of names) {
      const { unit, field } = this.#opts.split(name);
      wanted.set(unit, (wanted.get(unit) ?? new Set()).add(field));
    }
    for (const [key, unit] of this.#units) {
      const fields = wanted.get(key);
      if (fields !== undefined) {
        unit.keep(fields);
        continue;
      }
      unit.close();
      this.#units.delete(key);
    }
  }

  refreshSoon(names: readonly string[]): void {
    for (const name of names) this.#units.get(this.#opts.split(name).unit)?.soon();
  }

  reread(names?: readonly string[]): void {
    const keys = names?.map((name) => this.#opts.split(name).unit) ?? [...this.#units.keys()];
    for (const key of keys) this.#units.get(key)?.again();
  }

  changedAt(name: string): number | null {
    const { unit, field } = this.#opts.split(name);
    return this.#units.get(unit)?.changedAt(field) ?? null;
  }

  close(): void {
    clearInterval(this.#timer ?? undefined);
    this.#timer = null;
    this.#listeners.clear();
    for (const unit of this.#units.values()) unit.close();
    this.#units.clear();
  }

  #unit(key: string): Unit {
    const before = this.#units.get(key);
    if (before !== undefined) return before;
    if (this.#units.size >= MAX_UNITS) {
      throw new SecretSourceError('full', `more than ${MAX_UNITS} sources of kind ${this.#opts.kind}`);
    }
    const { kind, clock, limits, shown, fetch, onFetch, onProblem } = this.#opts;
    const made = createUnit({
      what: `${kind}:${shown?.(key) ?? key}`,
      clock,
      limits,
      fetch: (signal) => this.#slots.run((held) => fetch(key, held), { signal, limitMs: limits.fetchMs }),
      onFetch: (outcome) => onFetch?.(kind, outcome),
      onProblem: (message) => onProblem?.(message),
      onChange: () => {
        for (const listener of this.#listeners) listener();
      },
    });
    this.#units.set(key, made);
    return made;
  }

  #tick(): void {
    for (const unit of this.#units.values()) unit.tick();
  }
}
