/** Which requests may share an upstream connection, as a text. Asked by `pool.ts` for each request, so the last one is kept. */

import type { Permit } from '../flow/permit.ts';
import type { Target } from '../flow/target.ts';

type Made = {
  readonly permit: Permit;
  readonly secure: boolean;
  readonly h2: boolean;
  readonly key: string;
};

export class PoolKeys {
  /** by the target of a client's connection, which all its requests have in common */
  readonly #last = new WeakMap<Target, Made>();

  of(permit: Permit, secure: boolean, h2: boolean): string {
    const last = this.#last.get(permit.target);
    if (last !== undefined && last.secure === secure && last.h2 === h2 && isAlike(last.permit, permit))
      return last.key;
    const key = keyOf(permit, secure, h2);
    this.#last.set(permit.target, { permit, secure, h2, key });
    return key;
  }
}

/** Of the same target. */
function isAlike(one: Permit, other: Permit): boolean {
  return (
    one.snapshotId === other.snapshotId &&
    one.identity.id === other.identity.id &&
    one.verdict.addresses === other.verdict.addresses
  );
}

/**
 * What must be equal for two requests to share a connection. The ranges that the rule opens belong to it:
 * a rule without them must not ride on a connection that another rule's ranges made possible.
 */
function keyOf(permit: Permit, secure: boolean, h2: boolean): string {
  const { target, verdict } = permit;
  const opened = verdict.addresses.length === 0 ? '' : verdict.addresses.join(',');
  return `${secure ? (h2 ? 's2' : 's') : 'p'}\n${target.host}\n${target.port}\n${opened}\n${permit.snapshotId}\n${permit.identity.id}`;
}
