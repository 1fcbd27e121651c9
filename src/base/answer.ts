/**
 * How a client hears whether it may begin, in the protocol in which it asked. Whoever takes a connection in names one
 * of these; tunnel and interception send what it says and know no protocol of the client's. Constant objects: nothing
 * is made per connection.
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Denied } from '../flow/reason.ts';
import { connectEstablished } from '../wire/reply.ts';
import type { ClientLink } from './link.ts';
import { refusalFor } from './refuse.ts';

export type Answerer = {
  /** sent once the way is open (invariant I3); empty where the client waits for no answer */
  readonly success: Buffer;
  /** the last bytes that the client gets; null: its protocol has no words for it, and the connection is reset */
  readonly refusal: (record: FlowRecord, why: Denied) => Buffer | null;
};

/** The answers to an HTTP CONNECT. */
export const HTTP_ANSWERS: Answerer = {
  success: connectEstablished(),
  refusal: (record, why) => refusalFor(record, why, { close: true }),
};

/** Sends what `Answerer.refusal` gave, and ends the connection. */
export function sendRefusal(link: ClientLink, bytes: Buffer | null): void {
  if (bytes === null) link.reset();
  else link.finishWith(bytes);
}

/** Sends the success, where there is one to send. */
export function sendSuccess(link: ClientLink, answers: Answerer): void {
  if (answers.success.length > 0) link.socket.write(answers.success);
}
