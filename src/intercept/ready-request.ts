/**
 * One request from its parsed head to what may be sent of it: the gate's verdict, and the head written anew with keys
 * in place of placeholders. Called by `exchange.ts` before anything else.
 */
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied, isDenied } from '../flow/reason.ts';
import { parseTraceParent } from '../flow/trace.ts';
import type { Ask } from '../flow/verdict.ts';
import type { IdentityBindings } from '../secrets/binding.ts';
import type { HostKeys } from '../secrets/host-keys.ts';
import { findSignature, OTHER, type Resigning } from '../sigv4/resign.ts';
import { fieldValue } from '../wire/http1-parse.ts';
import type { Asks, ExchangeDeps, ExchangeJob } from './exchange-job.ts';
import { upstreamHead } from './upstream-head.ts';

export const OUTDATED = denied('not_ready', 'The policy changed while this was decided; ask again.');

export type ReadyRequest = {
  readonly permit: Permit;
  /** latin-1 */
  readonly head: string;
  readonly bindings: IdentityBindings;
  /** the identity's keys that are bound to the host; null: none, and all but the head passes as it comes */
  readonly keys: HostKeys | null;
  /** the AWS signature that is to be made anew before the head may go; null: none */
  readonly resigning: Resigning | null;
};

const OTHER_SIGNER = denied(
  'placeholder_unknown',
  'The request is signed with an access key id that is not the placeholder of a key set of this host.',
);

/**
 * Reasons as the gate's, of a bad identity, of a malformed or refused upgrade, and of `substituteHead`. `Ask`: all but
 * a person's yes is there, so whoever is asked sees what could be sent.
 */
export function readyRequest(deps: ExchangeDeps, job: ExchangeJob, asks: Asks): ReadyRequest | Ask | Denied {
  if (deps.traced) job.record.trace = parseTraceParent(fieldValue(job.head, 'traceparent') ?? '');
  const permit = judgeRequest(deps, job, asks);
  if ('kind' in permit && permit.kind === 'deny') return permit;
  const bindings = deps.bindings(job.identity);
  const keys = deps.hostKeys.at(bindings, job.target);
  const dropOverrides = ('kind' in permit ? permit.then : permit.verdict).judgesRequests;
  const { upgrade } = asks;
  const found = keys === null || keys.sets.length === 0 ? null : signatureOf(deps, job, keys);
  const isOther = found === OTHER;
  const resigning = isOther ? null : found;
  if (resigning !== null && isDenied(resigning)) return resigning;
  const scrubs = keys !== null && !keys.onlySets;
  const swapped = upstreamHead(job, { bindings, dropOverrides, scrubs, resigning, upgrade });
  if (swapped.kind === 'deny') return swapped;
  // Whoever signs there with a key of his own could take anything out.
  if (isOther) return OTHER_SIGNER;
  job.record.keys = resigning === null ? swapped.used : [...resigning.keys, ...swapped.used];
  if ('kind' in permit) return permit;
  return { permit, head: swapped.head, bindings, keys, resigning };
}

function signatureOf(deps: ExchangeDeps, job: ExchangeJob, { sets }: HostKeys) {
  const { head, path, target: at, secure } = job;
  const now = deps.clock.now();
  return findSignature({ method: head.method, path, head: head.text, sets, at, secure, now });
}

/** The gate's verdict, where the identity still holds and the handshake of an upgrade is one. */
export function judgeRequest(
  deps: ExchangeDeps,
  job: ExchangeJob,
  { facts, upgrade }: Asks,
): Permit | Ask | Denied {
  const { identity, target, client, record, secure, approval } = job;
  const invalid = upgrade?.problem ?? deps.stillValid(identity, client);
  if (invalid !== null) return invalid;
  const scheme = secure ? 'https' : 'http';
  const { flow } = record;
  return deps.gate.request({ flow, identity, client, target, scheme, facts, approval });
}
