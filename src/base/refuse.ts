/** A refusal for a request that has a record: what the record knows of asker and target goes into the answer. */
import type { FlowRecord } from '../audit/flow-record.ts';
import { type Denied, denied } from '../flow/reason.ts';
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

const PLAIN_HTTP = 'TLS is expected on this port, and HTTP in the clear came: use https://.';
/** A method and the space behind it, as far as it has come. */
const REQUEST_BEGIN = /^[A-Z]{1,16}(?: |$)/;
const HEAD_METHOD = 'HEAD ';

/**
 * Where TLS was due and HTTP in the clear came, as from Node's fetch with `http://host:8080`: the refusal as HTTP, which
 * is what such a client reads. Null: `first`, the bytes that came, begin no request.
 */
export function answerInTheClear(record: FlowRecord, why: Denied, first?: Buffer): Buffer | null {
  const text = first?.toString('latin1', 0, 32) ?? '';
  if (!REQUEST_BEGIN.test(text)) return null;
  const told = why.reason === 'not_tls' ? denied('not_tls', PLAIN_HTTP) : why;
  return refusalFor(record, told, { close: true, headOnly: text.startsWith(HEAD_METHOD) });
}
