/** Events for writers in a process of their own, where vitest cannot be imported. */
import type { DecisionEvent } from '../../../src/audit/event.ts';

export function decision(flow: string): DecisionEvent {
  return {
    kind: 'decision',
    stage: 'request',
    flow,
    requestId: '01K0REQUEST',
    group: 'ai-agents',
    identity: 'tok_1',
    client: '172.25.0.7',
    via: 'connect',
    host: 'api.openai.com',
    port: 443,
    method: 'POST',
    path: '/v1/chat',
    treat: 'intercept',
    keys: [],
    policy: 'abcdef012345',
    verdict: 'allow',
    reason: null,
    rule: null,
    hostLabel: 'api.openai.com',
  };
}
