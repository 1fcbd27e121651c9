/** A refusal for a request that has a record: what the record knows of asker and target goes into the answer. */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Denied } from '../flow/reason.ts';
import { authorityText } from '../flow/target.ts';
import { refusal } from '../wire/reply.ts';

/** `close`: the connection ends behind it; `headOnly`: the answer to HEAD. */
export function refusalFor(
  record: FlowRecord,
  why: Denied,
  how: { readonly close: boolean; readonly headOnly?: boolean },
): Buffer {
  const { requestId, identity, at } = record;
  const host = at === null ? null : authorityText(at);
  return refusal({ denied: why, requestId, group: identity?.group ?? null, host, ...how });
}
