/**
 * What one identity may use: made by `vault/bindings.ts` from policy and keyring, read by `substitute.ts`.
 * Types only. The two indexes are shared by all identities and replaced when keys or policies change.
 */
import type { Authority } from '../flow/target.ts';
import type { SecretSpec } from '../policy/model.ts';
import type { LeakIndex } from './leaks.ts';
import type { PlaceholderIndex } from './placeholder-index.ts';
import type { SecretValue } from './value.ts';

export type Binding = {
  /** name of the variable, which is how the key is called in records and metrics */
  readonly env: string;
  readonly placeholder: string;
  /** what was given out for the key before its shape was known: swapped as well, never given out again */
  readonly aliases?: readonly string[];
  readonly spec: SecretSpec;
  /** is the key bound to this host and port */
  readonly allows: (at: Authority) => boolean;
  /** the value now: a rotated key is seen by the next call; `null` when its source does not give it */
  readonly value: () => SecretValue | null;
  /** the same without counting as use of the key */
  readonly peek: () => SecretValue | null;
  /** values that it had before: never put in, but taken out of answers */
  readonly former: () => readonly SecretValue[];
};

export type IdentityBindings = {
  readonly bindings: readonly Binding[];
  /** every placeholder of every identity, this one's too */
  readonly known: PlaceholderIndex;
  /** real values of all groups, current and revoked */
  readonly leaks: LeakIndex;
};
