/** The gate's verdict on one request whose identity still holds. Called by `exchange.ts` before anything else. */
import type { Permit } from '../flow/permit.ts';
import type { Denied } from '../flow/reason.ts';
import type { Facts } from '../flow/verdict.ts';
import type { ExchangeDeps, ExchangeJob } from './exchange-job.ts';

/** Reasons as the gate's, of a bad identity, and of a malformed or refused upgrade. */
export function judgeRequest(
  deps: ExchangeDeps,
  job: ExchangeJob,
  asks: { readonly facts: Facts; readonly upgrade: { readonly problem: Denied | null } | null },
): Permit | Denied {
  const { identity, target, client, record, secure } = job;
  const { facts, upgrade } = asks;
  const invalid = upgrade?.problem ?? deps.stillValid(identity, client);
  if (invalid !== null) return invalid;
  const scheme = secure ? 'https' : 'http';
  const { flow } = record;
  return deps.gate.request({ flow, identity, client, target, scheme, facts });
}
