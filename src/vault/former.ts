/**
 * Values that went out of use a while ago, by key: an upstream may still have them and say them, so answers are
 * searched for them, too. They are never put into a request. Used by `keyring.ts`; wiped when their time is over.
 */
import type { Clock } from '../base/clock.ts';
import { SecretValue } from '../secrets/value.ts';

/** How long: longer than any token that a server makes out of a key lives as a rule. */
const FORMER_MS = 24 * 3_600_000;
/** Of one key, the latest; one that rotates faster than that is short-lived anyway. */
const MAX_FORMER = 4;

type Gone = { readonly value: SecretValue; readonly until: number };

export class FormerValues {
  readonly #clock: Clock;
  /** only keys that the keyring holds or held: as many as it may */
  readonly #byKey = new Map<string, readonly Gone[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Copies these, by key, and forgets what is too old. @returns the values that were given */
  add(
    old: readonly (readonly [key: string, held: { readonly value: SecretValue | null }])[],
  ): readonly SecretValue[] {
    const until = this.#clock.mono() + FORMER_MS;
    const given = old.flatMap(([key, { value }]) => (value === null ? [] : [{ key, value }]));
    for (const { key, value } of given) {
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

  close(): void {
    for (const { value } of [...this.#byKey.values()].flat()) value.zero();
    this.#byKey.clear();
  }

  #keep(key: string, all: readonly Gone[]): void {
    const now = this.#clock.mono();
    const kept = all.filter(({ until }, at) => until > now && at >= all.length - MAX_FORMER);
    for (const gone of all) if (!kept.includes(gone)) gone.value.zero();
    if (kept.length === 0) this.#byKey.delete(key);
    else this.#byKey.set(key, kept);
  }
}
