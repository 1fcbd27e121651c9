/** One record: its body, its line in the chain, its hash. */
import { hash } from 'node:crypto';
import { EMPTY_HEAD, type Head, recordLine } from '../../src/audit/chain.ts';
import type { DecisionEvent } from '../../src/audit/event.ts';
import { FlowWords } from '../../src/audit/flow-words.ts';
import { RecordText } from '../../src/audit/record-text.ts';
import type { Piece } from './runner.ts';

/** One for all, as in the trail. */
const TEXT = new RecordText();

const EVENT: DecisionEvent = {
  kind: 'decision',
  stage: 'request',
  flow: '01JDFQ8Q2N0000000000000000',
  requestId: '01JDFQ8Q2N0000000000000001',
  group: 'ai-agents',
  identity: 'tok_0123456789abcdef',
  client: '172.25.0.7',
  via: 'connect',
  host: 'api.openai.com',
  port: 443,
  method: 'POST',
  path: '/v1/chat/completions?stream=true',
  reason: null,
  treat: 'intercept',
  keys: ['OPENAI_API_KEY'],
  policy: '0123456789ab',
  verdict: 'allow',
  rule: { file: 'policies/openclaw.yaml', line: 12, text: 'allow api.openai.com' },
  hostLabel: 'api.openai.com',
  words: new FlowWords(),
};

export function auditPieces(): Piece[] {
  const at = new Date(0).toISOString();
  const body = TEXT.of(EVENT, at);
  let head: Head = EMPTY_HEAD;
  return [
    { name: 'audit: body of a record', run: () => TEXT.of(EVENT, at) },
    {
      name: 'audit: record chained and hashed',
      run: () => {
        const line = recordLine({ kind: 'decision', body: TEXT.of(EVENT, at) }, head, null);
        head = { seq: head.seq + 1, hash: hash('sha256', line) };
        return body;
      },
    },
  ];
}
