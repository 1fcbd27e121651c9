/** What `keyring.ts` holds under each name. */
import type { SecretValue } from '../secrets/value.ts';

export type Ref = { readonly kind: string; readonly name: string };

export type Held = {
  readonly value: SecretValue | null;
  readonly problem: string | null;
  /** milliseconds since the epoch */
  readonly changedAt: number;
};

export function idOf(ref: Ref): string {
  return `${ref.kind}:${ref.name}`;
}

export function sameValues(before: ReadonlyMap<string, Held>, now: ReadonlyMap<string, Held>): boolean {
  return before.size === now.size && [...now].every(([id, { value }]) => before.get(id)?.value === value);
}
