/** The record of one request of a connection, opened before anything is known of it but where it came from. */
import { FlowRecord } from '../audit/flow-record.ts';
import type { FlowWords } from '../audit/flow-words.ts';
import type { Via } from '../flow/target.ts';
import type { SessionDeps } from './session-job.ts';

export type RecordedFor = {
  readonly client: string;
  readonly flow: string;
  readonly via: Via | null;
  readonly words: FlowWords;
};

export function requestRecord(deps: SessionDeps, { client, flow, via, words }: RecordedFor): FlowRecord {
  const { trail, clock, newId, holdsKey } = deps;
  const requestId = newId();
  return new FlowRecord({ trail, clock, holdsKey, stage: 'request', flow, requestId, client, via, words });
}
