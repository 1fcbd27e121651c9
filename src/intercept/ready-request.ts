/**
 * One request from its parsed head to what may be sent of it: the gate's verdict, and the head written anew with keys
 * in place of placeholders. Called by `exchange.ts` before anything else.
 */
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Facts } from '../flow/verdict.ts';
import type { IdentityBindings } from '../secrets/binding.ts';
import type { HostKeys } from '../secrets/host-keys.ts';
import type { ExchangeDeps, ExchangeJob } from './exchange-job.ts';
import type { Upgrade } from './upgrade.ts';
import { upstreamHead } from './upstream-head.ts';

export const OUTDATED = denied('not_ready', 'The policy changed while this was decided; ask again.');

type ReadyRequest = {
  readonly permit: Permit;
  /** latin-1 */
  readonly head: string;
  readonly bindings: IdentityBindings;
  /** the identity's keys that are bound to the host; null: none, and all but the head passes as it comes */
  readonly keys: HostKeys | null;
};

type Asks = { readonly facts: Facts; readonly upgrade: Upgrade | null };

/** Reasons as the gate's, of a bad identity, of a malformed or refused upgrade, and of `substituteHead`. */
export function readyRequest(deps: ExchangeDeps, job: ExchangeJob, asks: Asks): ReadyRequest | Denied {
  const permit = judge(deps, job, asks);
  if ('kind' in permit) return permit;
  const bindings = deps.bindings(job.identity);
  const keys = deps.hostKeys.at(bindings, job.target);
  const dropOverrides = permit.verdict.judgesRequests;
  const { upgrade } = asks;
  const swapped = upstreamHead(job, { bindings, dropOverrides, scrubs: keys !== null, upgrade });
  if (swapped.kind === 'deny') return swapped;
  job.record.keys = swapped.used;
  return { permit, head: swapped.head, bindings, keys };
}

function judge(deps: ExchangeDeps, job: ExchangeJob, { facts, upgrade }: Asks): Permit | Denied {
  const { identity, target, client, record, secure } = job;
  const invalid = upgrade?.problem ?? deps.stillValid(identity, client);
  if (invalid !== null) return invalid;
  const scheme = secure ? 'https' : 'http';
  const { flow } = record;
  return deps.gate.request({ flow, identity, client, target, scheme, facts });
}
