/** What of a held request a person sees, and what a yes covers. */
import { createHash } from 'node:crypto';
import type { Identity } from '../flow/identity.ts';
import type { Target } from '../flow/target.ts';
import type { Facts } from '../flow/verdict.ts';
import type { IdentityBindings } from '../secrets/binding.ts';
import { withKeyNames } from '../secrets/shown.ts';

/** The path with names of keys in place of placeholders. The head was searched for real keys before. */
export function shownPath(path: string, bindings: IdentityBindings): string {
  const shown = withKeyNames(path, bindings);
  if (shown === null) throw new Error('a request with a real key is refused, not shown');
  return shown;
}

/**
 * The same 64 hex digits for whatever one decision covers: group, scheme, host, port, whether it becomes a WebSocket,
 * method, and path with its query. By names of keys: who holds other placeholders for the same keys asks the same.
 */
export function heldKey(of: {
  readonly identity: Identity;
  readonly scheme: 'https' | 'http';
  readonly target: Target;
  readonly facts: Facts;
  readonly shownPath: string;
}): string {
  const { identity, scheme, target, facts, shownPath: path } = of;
  const upgrade = facts.protocol === 'websocket';
  const parts = [identity.group, scheme, target.host, target.port, upgrade, facts.method, path];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
