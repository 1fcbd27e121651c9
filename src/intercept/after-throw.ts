/** Invariant I7: what a later step of an exchange throws is a refusal; where even that fails, the connection ends. */
import { type Denied, denied } from '../flow/reason.ts';
import type { ExchangeDeps, ExchangeJob } from './exchange-job.ts';

const FAILED = denied('not_ready', 'The proxy failed on this request; its log says why.');

/** `refuse` answers the client and ends the exchange. */
export function afterThrow(
  error: unknown,
  of: { readonly deps: ExchangeDeps; readonly job: ExchangeJob },
  refuse: (why: Denied) => void,
): void {
  of.deps.onError(error);
  try {
    refuse(FAILED);
  } catch {
    // The record or the client's side is what failed: closing the connection settles the rest.
    of.job.side.destroy();
  }
}
