/**
 * Values that went out of use a while ago, by key: an upstream may still have them and say them, so answers are
 * searched for them, too. They are never put into a request. Used by `gone.ts`; wiped when their time is over.
 */
import type { Clock } from '../base/clock.ts';
import { SecretValue } from '../secrets/value.ts';

/** How long: longer than any token that a server makes out of a key lives as a rule. */
const FORMER_MS = 24 * 3_600_000;
/**
 * Of one key, the latest. Programs may print another token at each fetch, each good for hours, and a sandbox can have
 * tokens made: with few places one that is still good would be pushed out.
 */
export const MAX_FORMER = 64;
/** Keys, should others tell of many. */
const MAX_KEYS = 8192;

type Gone = { readonly value: SecretValue; readonly until: number };

export class FormerValues {
  readonly #clock: Clock;
  readonly #max: number;
  /** only keys that the keyring holds or held: as many as it may */
  readonly #byKey = new Map<string, readonly Gone[]>();

  /** `max`: values of one key */
  constructor(clock: Clock, max: number) {
    this.#clock = clock;
    this.#max = max;
  }

  /** Copies these, by key, and forgets what is too old. @returns the values that were given */
  add(
    old: readonly (readonly [key: string, held: { readonly value: SecretValue | null }])[],
  ): readonly SecretValue[] {
    const until = this.#clock.mono() + FORMER_MS;
    const given = old.flatMap(([key, { value }]) => (value === null ? [] : [{ key, value }]));
    for (const { key, value } of given) {
      if (!this.#byKey.has(key) && this.#byKey.size >= MAX_KEYS) continue;
      const gone = { value: new SecretValue(value.name, value.expose()), until };
      this.#keep(key, [...(this.#byKey.get(key) ?? []), gone]);
    }
    for (const [key, all] of this.#byKey) this.#keep(key, all);
    return given.map(({ value }) => value);
  }

  /** The latest last. */
  list(key: string): readonly SecretValue[] {
    return (this.#byKey.get(key) ?? []).map(({ value }) => value);
  }

  all(): readonly (readonly [key: string, value: SecretValue])[] {
    return [...this.#byKey].flatMap(([key, gone]) => gone.map(({ value }) => [key, value] as const));
  }

  close(): void {
    for (const { value } of [...this.#byKey.values()].flat()) value.zero();
    this.#byKey.clear();
  }

  #keep(key: string, all: readonly Gone[]): void {
    const now = this.#clock.mono();
    const kept = all.filter(({ until }, at) => until > now && at >= all.length - this.#max);
    for (const gone of all) if (!kept.includes(gone)) gone.value.zero();
    if (kept.length === 0) this.#byKey.delete(key);
    else this.#byKey.set(key, kept);
  }
}
