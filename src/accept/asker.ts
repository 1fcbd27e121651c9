/**
 * Who asks, for every way in: a policy must be in force and the proxy must not be stopping, then address and
 * credential say who it is. Called once per request of an HTTP connection and once per SOCKS request.
 */
import type { Snapshot } from '../config/snapshot.ts';
import type { Credential, Identity } from '../flow/identity.ts';
import { type Denied, denied } from '../flow/reason.ts';

export type AskerDeps = {
  readonly snapshot: () => Snapshot | null;
  readonly draining: () => boolean;
  readonly identify: (
    ask: { address: string; credential: Credential },
    snapshot: Snapshot,
  ) => Identity | Denied;
};

export type Asker = {
  readonly identity: Identity | Denied;
  readonly credential: Credential;
  readonly snapshot: Snapshot;
};

/** Who asks, or why nobody can be let in now: `not_ready`, `draining`. `address`: the client's. */
export function askerOf(deps: AskerDeps, address: string, credential: Credential): Asker | Denied {
  const snapshot = deps.snapshot();
  if (snapshot === null) return denied('not_ready', 'No policy is loaded.');
  if (deps.draining()) return denied('draining');
  return { identity: deps.identify({ address, credential }, snapshot), credential, snapshot };
}
