/** The gate's verdict on one request whose identity still holds. Called by `exchange.ts` before anything else. */
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Facts } from '../flow/verdict.ts';
import type { ExchangeDeps, ExchangeJob } from './exchange-job.ts';

/** Reasons as the gate's, of a bad identity, and `upgrade_refused`. */
export function judgeRequest(deps: ExchangeDeps, job: ExchangeJob, facts: Facts): Permit | Denied {
  const { identity, target, client, record, head, secure } = job;
  if (head.upgrade !== null) return denied('upgrade_refused');
  const invalid = deps.stillValid(identity, client);
  if (invalid !== null) return invalid;
  const scheme = secure ? 'https' : 'http';
  const { flow } = record;
  return deps.gate.request({ flow, identity, client, target, scheme, facts });
}
