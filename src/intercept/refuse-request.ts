/** Refusing a request that no exchange carries: the answer, its record, and whether its connection may go on. */
import type { FlowRecord } from '../audit/flow-record.ts';
import { refusalFor } from '../base/refuse.ts';
import type { SessionSide } from '../base/stages.ts';
import { type Denied, REASONS } from '../flow/reason.ts';
import type { RequestHead } from '../wire/http1-parse.ts';
import type { Outcome } from './exchange-job.ts';

/** Only a next request can follow a refusal, no rest of a body and no bytes of another protocol. */
export function mayFollow(head: RequestHead | null, why: Denied): boolean {
  if (head === null || REASONS[why.reason].status === 400) return false;
  // Contract section 5: after a refused CONNECT the connection is closed.
  return head.keepAlive && head.framing.kind === 'none' && head.upgrade === null && head.method !== 'CONNECT';
}

/** Tells and records it. `bytesUp`: of the body, as far as it came. */
export function refuseRequest(
  to: { readonly side: SessionSide; readonly record: FlowRecord; readonly head: RequestHead | null },
  why: Denied,
  how: { readonly close: boolean; readonly ended?: Outcome; readonly bytesUp?: number },
): void {
  const { side, record, head } = to;
  const { close, ended = 'refused', bytesUp = 0 } = how;
  record.deny(why);
  const bytes = refusalFor(record, why, { close, headOnly: head?.method === 'HEAD' });
  side.write(bytes);
  const { reason } = why;
  record.end({ status: REASONS[reason].status, ended, reason, bytesUp, bytesDown: bytes.length });
}
