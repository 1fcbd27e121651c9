/** What an HTTP session works with, and what it is asked to do. Types only. */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { FlowWords } from '../audit/flow-words.ts';
import type { AuditTrail } from '../audit/writer.ts';
import type { FairShare } from '../base/fair-share.ts';
import type { SessionSide, SessionTurn } from '../base/stages.ts';
import type { Via } from '../flow/target.ts';
import type { Facts } from '../flow/verdict.ts';
import type { Exchange } from './exchange.ts';
import type { ExchangeDeps } from './exchange-job.ts';

export type SessionDeps = ExchangeDeps & {
  /** open HTTP/2 streams, with a part for every group */
  readonly streams: FairShare;
  readonly trail: AuditTrail;
  readonly newId: () => string;
  /** does a text hold a real key, current or revoked */
  readonly holdsKey: (text: string) => boolean;
  /** an exception ended a connection */
  readonly onError: (error: unknown) => void;
};

/** The request under way: an exchange, or the wait for a person before there is one. */
export type Serving = Pick<
  Exchange,
  'bytesUp' | 'bytesDown' | 'body' | 'bodyEnd' | 'flush' | 'drained' | 'clientGone' | 'tick' | 'cut'
> & {
  /** the client has ended its side */
  clientEnded?(): void;
};

export type SessionAsk = {
  readonly side: SessionSide;
  /** client address */
  readonly client: string;
  /** id that all records of this connection share */
  readonly flow: string;
  /** of these records */
  readonly words: FlowWords;
  readonly via: Via;
  /** what the client speaks; left out: HTTP/1.1 */
  readonly protocol?: Facts['protocol'];
  /** decides what becomes of a request: calls exactly one method of the turn */
  readonly onHead: (turn: SessionTurn) => void;
  /** fills in what is known of the client before a malformed request is recorded */
  readonly onFault: (record: FlowRecord) => void;
};
