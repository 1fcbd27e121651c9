/**
 * May a name be told at all? For clients that ask our name server first (contract section 2, `transparent.dns`): yes,
 * when some rule of the group could allow some port of it. The same walk as for a connection, port by port.
 */
import type { Authority } from '../flow/target.ts';
import type { Verdict } from '../flow/verdict.ts';
import { decideConnect } from './decide.ts';
import { fitsHost } from './host-pattern.ts';
import type { PolicySet } from './model.ts';

/** What a pattern without a port stands for. */
const TLS_PORT = 443;
const PLAIN_PORT = 80;

/** The first verdict that is no refusal, of all ports that rules name for this host; else the refusal for 443. */
export function decideName(set: PolicySet, group: string, at: Authority): Verdict {
  const rules = set.groups.get(group)?.rules ?? [];
  const named = rules
    .filter(({ kind }) => kind !== 'deny')
    .flatMap(({ hosts }) => hosts.filter((pattern) => fitsHost(pattern, at)))
    .flatMap(({ ports }) => ports ?? []);
  const asked = (port: number): Verdict => decideConnect(set, group, { ...at, port }, port === PLAIN_PORT);
  const usual = asked(TLS_PORT);
  if (usual.kind !== 'deny') return usual;
  for (const port of new Set([PLAIN_PORT, ...named])) {
    const verdict = asked(port);
    if (verdict.kind !== 'deny') return verdict;
  }
  return usual;
}
