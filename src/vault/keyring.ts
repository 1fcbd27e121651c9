/**
 * The real values that the running proxy holds: fetched from their sources when a policy is loaded, watched,
 * and given to requests without waiting. Made by `proxy.ts`. A value that cannot be fetched is `null`, and
 * requests that need it are refused (`secret_unavailable`): they go neither without it nor with an old value, except one
 * that `cached.ts` gives for a limited time while its source is down.
 */
import type { Clock } from '../base/clock.ts';
import type { SourceRef } from '../policy/model.ts';
import { buildLeakIndex, type LeakIndex } from '../secrets/leaks.ts';
import type { RevokedDigest } from '../secrets/revoked.ts';
import type { SecretValue } from '../secrets/value.ts';
import { Asking, longEnough, type Outcome } from './asking.ts';
import { GoneValues } from './gone.ts';
import { type Held, idOf, type Ref, sameValues } from './held.ts';
import type { Remembered } from './remembered.ts';
import type { SecretSource } from './source.ts';

type SecretAge = {
  /** `from` as the profile writes it: never a value */
  readonly key: string;
  readonly available: boolean;
  /** seconds since the value last changed; since it was first seen where the source does not know */
  readonly seconds: number;
};

export type Keyring = {
  /** Replaces what is held by these, fetching all. Never rejects; what fails is `null`. */
  load(refs: readonly SourceRef[]): Promise<void>;
  /** The value now, or `null`. Called only to put it into a request: the use is noted. */
  current(ref: SourceRef): SecretValue | null;
  /** The value now, or `null`, to look at its shape only. */
  peek(ref: SourceRef): SecretValue | null;
  /** Values that it had before, the latest last: what answers are still searched for. */
  former(ref: SourceRef): readonly SecretValue[];
  /** Fetches everything again; what changed is used by the next request. Never rejects. */
  refresh(): Promise<void>;
  /** An upstream refused these: their sources are asked again, though not more often than they bear. */
  refreshSoon(refs: readonly SourceRef[]): void;
  /** `refresh`, and what sources keep is fetched anew as well, in the background. */
  reread(): Promise<void>;
  /** Called after values changed. Returns the unsubscribe function. */
  subscribe(listener: () => void): () => void;
  /** Why a key is not available, in words for operators; `null` when it is. */
  problem(ref: SourceRef): string | null;
  ages(): readonly SecretAge[];
  /** Stops watching and wipes all values. */
  close(): void;
  leaks(): LeakIndex;
  /** What this process fetched for itself or heard of in the last day, copied: the other workers look for it, too. */
  minted(): readonly MintedValue[];
  /** What others have: never put in, but taken out of answers, and refused. Those known already are no news. */
  learn(minted: readonly MintedValue[]): void;
};

/** `id`: of the key, `mint:NAME`, `command:LINE` … */
export type MintedValue = { readonly id: string; readonly bytes: Uint8Array };

/** Each process asks these for itself, and may be given another value than the others. */
const FETCHED: ReadonlySet<string> = new Set(['mint', 'command', 'kv', 'stronghold']);

function isFetched(id: string): boolean {
  return FETCHED.has(id.slice(0, id.indexOf(':')));
}

/** After a trouble that passes by itself. */
const AGAIN_MS = 1_000;

export type KeyringOptions = {
  /** by kind: `vault`, `env`, `file` … */
  readonly sources: Readonly<Record<string, SecretSource>>;
  readonly clock: Clock;
  readonly onFetch?: (source: string, outcome: 'ok' | 'error') => void;
  /** in words for operators, once for each change; never a value. Cached sources tell theirs themselves */
  readonly onProblem?: (message: string) => void;
  /** what outlives this process of the values that it held */
  readonly remembered?: Remembered;
};

export function createKeyring(opts: KeyringOptions): Keyring {
  return new FetchedKeys(opts);
}

class FetchedKeys implements Keyring {
  readonly #asking: Asking;
  readonly #opts: KeyringOptions;
  readonly #held = new Map<string, Held>();
  readonly #listeners = new Set<() => void>();
  readonly #unwatch: readonly (() => void)[];
  readonly #gone: GoneValues;
  #refs: readonly SourceRef[] = [];
  /** of keys that requests may carry, not only this proxy */
  #bound: ReadonlySet<string> = new Set();
  /** of sources that keep their own list */
  #revoked: readonly RevokedDigest[] = [];
  /** what operators were told of the fetch under way */
  readonly #told = new Set<string>();
  /** one fetch of everything after the other, so that an old answer never overwrites a newer one */
  #queue: Promise<void> = Promise.resolve();
  #waiting = false;
  #again: NodeJS.Timeout | null = null;
  #loaded = false;
  #closed = false;
  #leaks: LeakIndex = buildLeakIndex({ current: [], revoked: [] });

  constructor(opts: KeyringOptions) {
    this.#opts = opts;
    this.#gone = new GoneValues(opts.clock, opts.remembered ?? null);
    this.#asking = new Asking(opts.sources, (...fetch) => opts.onFetch?.(...fetch));
    this.#unwatch = [...this.#asking.sources.values()].map(
      (source) => source.watch?.(() => void this.refresh()) ?? (() => {}),
    );
  }

  load(refs: readonly SourceRef[]): Promise<void> {
    this.#bound = new Set(refs.map((ref) => idOf(ref)));
    this.#refs = refs.flatMap((ref) => (ref.mint === undefined ? [ref] : [ref, ref.mint.credential]));
    for (const [kind, source] of this.#asking.sources)
      source.learn?.(refs.filter((ref) => ref.kind === kind));
    return this.#enqueue();
  }

  /** A refresh that has not begun yet serves everybody who asks meanwhile. */
  refresh(): Promise<void> {
    if (this.#waiting) return this.#queue;
    return this.#enqueue();
  }

  refreshSoon(refs: readonly SourceRef[]): void {
    for (const { kind, name } of refs) this.#asking.sources.get(kind)?.cached?.refreshSoon([name]);
  }

  reread(): Promise<void> {
    for (const source of this.#asking.sources.values()) source.cached?.reread();
    return this.refresh();
  }

  peek(ref: SourceRef): SecretValue | null {
    return this.#held.get(idOf(ref))?.value ?? null;
  }

  former(ref: SourceRef): readonly SecretValue[] {
    return this.#gone.former(idOf(ref));
  }

  current(ref: SourceRef): SecretValue | null {
    const value = this.peek(ref);
    if (value !== null) this.#asking.sources.get(ref.kind)?.used?.(ref.name, this.#opts.clock.now());
    return value;
  }

  problem(ref: SourceRef): string | null {
    const held = this.#held.get(idOf(ref));
    return held === undefined ? 'not loaded' : held.problem;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  ages(): readonly SecretAge[] {
    const now = this.#opts.clock.now();
    return this.#refs.flatMap((ref) => {
      const held = this.#held.get(idOf(ref));
      if (held === undefined) return [];
      return {
        key: ref.text,
        available: held.value !== null,
        seconds: Math.max(0, now - held.changedAt) / 1000,
      };
    });
  }

  leaks(): LeakIndex {
    return this.#leaks;
  }

  minted(): readonly MintedValue[] {
    const held = [...this.#held].map(([id, { value }]) => [id, value] as const);
    // Those in use last: whoever has no room for all forgets the first.
    return [...this.#gone.all(), ...held].flatMap(([id, value]) =>
      value === null || !isFetched(id) ? [] : [{ id, bytes: Buffer.from(value.expose()) }],
    );
  }

  learn(minted: readonly MintedValue[]): void {
    const told = minted.filter(({ id }) => isFetched(id) && !this.#closed);
    const news = told.filter(({ id, bytes }) =>
      this.#gone.learn(id, bytes, this.#held.get(id)?.value ?? null),
    );
    if (news.length > 0) this.#lookFor();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again ?? undefined);
    for (const stop of this.#unwatch) stop();
    for (const source of this.#asking.sources.values()) source.close?.();
    for (const held of this.#held.values()) held.value?.zero();
    this.#held.clear();
    this.#gone.close();
    this.#replaceLeaks(buildLeakIndex({ current: [], revoked: [] }));
  }

  #lookFor(): void {
    const held = [...this.#held.values()].flatMap(({ value }) => value ?? []);
    const current = [...new Set([...held, ...this.#gone.others()])];
    this.#replaceLeaks(buildLeakIndex({ current, revoked: [...this.#revoked, ...this.#gone.list()] }));
  }

  #replaceLeaks(next: LeakIndex): void {
    this.#leaks.wipe();
    this.#leaks = next;
  }

  #enqueue(): Promise<void> {
    this.#waiting = true;
    const fetch = async (): Promise<void> => {
      this.#waiting = false;
      await this.#fetchAll();
    };
    // After a failure too: one bad listener must not end all later fetches.
    this.#queue = this.#queue.then(fetch, fetch);
    return this.#queue;
  }

  async #fetchAll(): Promise<void> {
    this.#asking.passing = false;
    const wanted = await this.#asking.wanted(this.#refs);
    const first = !this.#loaded;
    const fetched = await Promise.all(
      [...wanted].map(async ([id, ref]) => {
        const outcome = await this.#asking.fetch(ref, first);
        return { id, ref, outcome: this.#bound.has(id) ? longEnough(ref, outcome) : outcome };
      }),
    );
    const revoked = await this.#asking.revoked();
    if (this.#closed) {
      for (const { outcome } of fetched) if ('value' in outcome) outcome.value.zero();
      return;
    }
    this.#loaded = true;
    if (this.#asking.passing) this.#again ??= setTimeout(() => this.#askAgain(), AGAIN_MS).unref();
    this.#told.clear();
    const before = new Map(this.#held);
    this.#held.clear();
    for (const { id, ref, outcome } of fetched) this.#held.set(id, this.#next(before.get(id), ref, outcome));
    this.#gone.note(before, this.#held);
    this.#revoked = revoked;
    this.#lookFor();
    this.#mintAgain(before);
    if (!sameValues(before, this.#held)) for (const listener of this.#listeners) listener();
  }

  #askAgain(): void {
    this.#again = null;
    void this.refresh();
  }

  /** What proves who we are was replaced or taken away: what was made with it is asked for anew. */
  #mintAgain(before: ReadonlyMap<string, Held>): void {
    for (const { kind, name, mint } of this.#refs) {
      const id = mint === undefined ? null : idOf(mint.credential);
      const old = id === null ? undefined : before.get(id);
      if (id === null || old === undefined || old.value === this.#held.get(id)?.value) continue;
      this.#asking.sources.get(kind)?.cached?.reread([name]);
    }
  }

  /** Of keys that policies name; what all keys of a source have in common is told once. */
  #tell(before: Held | undefined, ref: Ref, problem: string | null): void {
    if (before?.problem === problem || this.#asking.isCached(ref.kind)) return;
    const message = problem ?? `${idOf(ref)} has a value again`;
    if (this.#told.has(message) || !this.#refs.some((one) => idOf(one) === idOf(ref))) return;
    this.#told.add(message);
    this.#opts.onProblem?.(message);
  }

  /** An unchanged value keeps its object. */
  #next(before: Held | undefined, ref: Ref, outcome: Outcome): Held {
    const changedAt = this.#asking.sources.get(ref.kind)?.changedAt?.(ref.name) ?? null;
    if ('problem' in outcome) {
      this.#tell(before, ref, outcome.problem);
      const since = before?.value === null ? before.changedAt : this.#opts.clock.now();
      return { value: null, problem: outcome.problem, changedAt: since };
    }
    if (before !== undefined && before.problem !== null) this.#tell(before, ref, null);
    if (before?.value?.equals(outcome.value) === true) {
      outcome.value.zero();
      return { ...before, changedAt: changedAt ?? before.changedAt };
    }
    return { value: outcome.value, problem: null, changedAt: changedAt ?? this.#opts.clock.now() };
  }
}
