/**
 * Values that are not in use any more: those of the last day in memory, since an upstream may still say them, and all by
 * digest, since a sandbox may have got hold of one. Used by `keyring.ts`.
 */
import type { Clock } from '../base/clock.ts';
import type { RevokedDigest } from '../secrets/revoked.ts';
import type { SecretValue } from '../secrets/value.ts';
import { FormerValues, MAX_FORMER } from './former.ts';
import type { Held } from './held.ts';
import type { Remembered } from './remembered.ts';
import { createRetired } from './retired.ts';
import { valueFrom } from './source.ts';

/** Of one key: each worker has its own token at a time. */
const MAX_OTHERS = 64;

export class GoneValues {
  readonly #former: FormerValues;
  /** what other processes of this proxy fetched */
  readonly #others: FormerValues;
  readonly #retired = createRetired();
  /** tokens of `mint:`, which no others may push out: a sandbox can have them replaced */
  readonly #ended = createRetired();
  readonly #remembered: Remembered | null;

  /** `remembered`: null for a process that ends soon */
  constructor(clock: Clock, remembered: Remembered | null) {
    this.#former = new FormerValues(clock, MAX_FORMER);
    this.#others = new FormerValues(clock, MAX_OTHERS);
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

  /** Whole values that a key had before, or has in another process, the latest last. */
  former(id: string): readonly SecretValue[] {
    const others = this.#others.list(id);
    return others.length === 0 ? this.#former.list(id) : [...this.#former.list(id), ...others];
  }

  /** What a key is in another process. False: that is known. Wipes `bytes`. @param held what it is here */
  learn(id: string, bytes: Uint8Array, held: SecretValue | null): boolean {
    const value = valueFrom(id, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    const isKnown = held?.equals(value) === true || this.former(id).some((other) => other.equals(value));
    if (!isKnown) this.#others.add([[id, { value }]]);
    value.zero();
    return !isKnown;
  }

  others(): readonly SecretValue[] {
    return this.#others.all().map(([, value]) => value);
  }

  /** All that is known of keys of other processes and of what this one had before. */
  all(): readonly (readonly [id: string, value: SecretValue])[] {
    return [...this.#others.all(), ...this.#former.all()];
  }

  close(): void {
    this.#former.close();
    this.#others.close();
    this.#remembered?.close();
  }
}
