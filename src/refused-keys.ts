/**
 * An upstream that answers 401 to a request with keys: they may have been rotated where they come from. Their sources
 * are asked again; how often a sandbox can bring that about is the source's to limit (`vault/cached.ts`).
 */
import type { AuditEvent } from './audit/event.ts';
import type { SnapshotHolder } from './config/snapshot.ts';
import type { Keyring } from './vault/keyring.ts';

/** To be called with every audit event: an end names its status and its keys. */
export function noteRefusedKeys(event: AuditEvent, keyring: Keyring, snapshots: SnapshotHolder): void {
  if (event.kind !== 'end' || event.status !== 401 || event.keys.length === 0) return;
  const secrets = snapshots.current()?.set.groups.get(event.group ?? '')?.secrets ?? [];
  keyring.refreshSoon(secrets.flatMap(({ env, from }) => (event.keys.includes(env) ? [from] : [])));
}
