/**
 * Values that are not in use any more: those of the last day in memory, since an upstream may still say them, and all by
 * digest, since a sandbox may have got hold of one. Used by `keyring.ts`.
 */
import type { Clock } from '../base/clock.ts';
import type { RevokedDigest } from '../secrets/revoked.ts';
import type { SecretValue } from '../secrets/value.ts';
import { FormerValues } from './former.ts';
import type { Held } from './held.ts';
import type { Remembered } from './remembered.ts';
import { createRetired } from './retired.ts';

export class GoneValues {
  readonly #former: FormerValues;
  readonly #retired = createRetired();
  /** tokens of `mint:`, which no others may push out: a sandbox can have them replaced */
  readonly #ended = createRetired();
  readonly #remembered: Remembered | null;

  /** `remembered`: null for a process that ends soon */
  constructor(clock: Clock, remembered: Remembered | null) {
    this.#former = new FormerValues(clock);
    this.#remembered = remembered;
  }

  /** Wipes what was held before and is not now, and remembers it. */
  note(before: ReadonlyMap<string, Held>, now: ReadonlyMap<string, Held>): void {
    const values = new Set([...now.values()].map((held) => held.value));
    const old = [...before].filter(([, { value }]) => !values.has(value));
    const minted = old.filter(([id]) => id.startsWith('mint:'));
    this.#retired.add(this.#former.add(old.filter((one) => !minted.includes(one))));
    this.#ended.add(this.#former.add(minted));
    this.#remembered?.note([...now].map(([id, { value }]) => [id, value] as const));
  }

  list(): readonly RevokedDigest[] {
    return [...this.#retired.list(), ...this.#ended.list(), ...(this.#remembered?.list() ?? [])];
  }

  /** Whole values that a key had before, the latest last. */
  former(id: string): readonly SecretValue[] {
    return this.#former.list(id);
  }

  close(): void {
    this.#former.close();
    this.#remembered?.close();
  }
}
