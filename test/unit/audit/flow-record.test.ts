/** What a record says of a request that held a key (invariant I5): nothing that the key stood in. */
import { describe, expect, it } from 'vitest';
import type { DecisionEvent, EndEvent } from '../../../src/audit/event.ts';
import { FlowRecord } from '../../../src/audit/flow-record.ts';
import type { AuditTrail } from '../../../src/audit/writer.ts';
import { denied } from '../../../src/flow/reason.ts';
import { parseTraceParent } from '../../../src/flow/trace.ts';
import { holdsLeak } from '../../../src/secrets/hidden.ts';
import { buildLeakIndex } from '../../../src/secrets/leaks.ts';
import { SecretValue } from '../../../src/secrets/value.ts';

/** As many services give out: hex digits alone. */
const KEY = '0123456789abcdef0123456789abcdef';
const OTHER = 'fedcba9876543210fedcba9876543210';

function recorded(fill: (record: FlowRecord) => void): readonly (DecisionEvent | EndEvent)[] {
  const events: (DecisionEvent | EndEvent)[] = [];
  const trail: AuditTrail = {
    decision: (event, written) => {
      events.push(event);
      written(null);
    },
    end: (event) => void events.push(event),
    operator: () => {},
    healthy: () => true,
    head: () => ({ seq: 0, hash: '' }),
    close: async () => {},
    onEvent: () => {},
  };
  const leaks = buildLeakIndex({ current: [new SecretValue('k', Buffer.from(KEY))], revoked: [] });
  const record = new FlowRecord({
    trail,
    clock: { now: () => 0, mono: () => 0 },
    stage: 'request',
    flow: 'f',
    requestId: 'r',
    client: '127.0.0.1',
    via: null,
    holdsKey: (text) => holdsLeak(text, leaks),
  });
  fill(record);
  record.deny(denied('secret_leak'));
  record.end({ status: 403, ended: 'refused', reason: 'secret_leak' });
  return events;
}

describe('a refused request', () => {
  it('hands no key on as the trace that it says it is part of', () => {
    const events = recorded((record) => {
      record.trace = parseTraceParent(`00-${KEY}-0123456789abcdef-01`);
    });
    expect(events.map(({ trace }) => trace ?? null)).toEqual([null, null]);
    const [decision] = recorded((record) => {
      record.trace = parseTraceParent(`00-${OTHER}-0123456789abcdef-01`);
    });
    expect(decision?.trace?.traceId).toBe(OTHER);
  });

  it.each([
    ['plain', KEY],
    ['percent-encoded', KEY.replace(/./g, (char) => `%${char.charCodeAt(0).toString(16)}`)],
    ['base64', Buffer.from(`u:${KEY}`).toString('base64')],
    ['hex', Buffer.from(KEY).toString('hex')],
  ])('is recorded without a path that holds a key: %s', (_how, spelt) => {
    const events = recorded((record) => {
      record.method = 'GET';
      record.path = `/v1/${spelt}/x`;
    });
    expect(JSON.stringify(events)).not.toContain(spelt);
    const harmless = recorded((record) => {
      record.path = '/v1/a%20path/x';
    });
    expect(harmless.map(({ path }) => path)).toEqual(['/v1/a%20path/x', '/v1/a%20path/x']);
  });
});
