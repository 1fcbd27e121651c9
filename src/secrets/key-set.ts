/**
 * The AWS key sets among an identity's keys: what belongs together to sign a request (`aws:` in a profile). No part of a
 * set is ever swapped for its value by itself; `sigv4/` signs again. Made for each host by `intercept/`.
 */
import type { Binding } from './binding.ts';

export type KeySet = {
  readonly id: Binding;
  readonly secret: Binding;
  /** null: the set has no session token */
  readonly token: Binding | null;
};

export function keySetsOf(bindings: readonly Binding[]): readonly KeySet[] {
  return bindings.flatMap((id) => {
    const aws = id.spec.aws;
    if (aws?.role !== 'id') return [];
    const member = (role: 'secret' | 'token'): Binding | null =>
      bindings.find(({ spec }) => spec.aws?.set === aws.set && spec.aws.role === role) ?? null;
    const secret = member('secret');
    return secret === null ? [] : [{ id, secret, token: member('token') }];
  });
}
