import { describe, expect, it } from 'vitest';
import { EMPTY_HEAD, GENESIS, recordLine } from '../../../src/audit/chain.ts';
import type { AuditEvent } from '../../../src/audit/event.ts';
import { RecordText } from '../../../src/audit/record-text.ts';
import { decision, end, parsed } from './samples.ts';

const AT = '2026-03-01T12:00:00.000Z';

function lineOf(event: AuditEvent, note: string | null = null): string {
  return recordLine({ kind: event.kind, body: new RecordText().of(event, AT) }, EMPTY_HEAD, note);
}

describe('the line of a record', () => {
  it('holds the fields of a decision in their order', () => {
    expect(parsed(lineOf(decision()))).toEqual({
      kind: 'decision',
      seq: 1,
      at: AT,
      stage: 'request',
      flow: '01K0FLOW',
      request_id: '01K0REQUEST',
      group: 'ai-agents',
      identity: 'tok_1',
      client: '172.25.0.7',
      via: 'connect',
      host: 'api.openai.com',
      port: 443,
      method: 'POST',
      path: '/v1/chat',
      verdict: 'allow',
      reason: null,
      rule: { file: 'policies/a.yaml', line: 7, text: 'allow api.openai.com' },
      treat: 'intercept',
      keys: ['OPENAI_API_KEY'],
      policy: 'abcdef012345',
      prev: GENESIS,
    });
    const names = Object.keys(parsed(lineOf(decision())));
    expect(names.slice(0, 5)).toEqual(['kind', 'seq', 'at', 'stage', 'flow']);
    expect(names.at(-1)).toBe('prev');
  });

  it('holds the common fields and its own in an end', () => {
    const value = parsed(lineOf(end({ scrubbed: ['A', 'B'] })));
    expect(value).toMatchObject({ status: 200, bytes_up: 10, bytes_down: 20, ms: 12.346, overhead_ms: 0.07 });
    expect(value).toMatchObject({ ended: 'done', scrubbed: ['A', 'B'], verdict: null, rule: null });
  });

  it('is a valid record when nothing is known', () => {
    const nothing = { group: null, identity: null, via: null, host: null, port: null, method: null } as const;
    const event = end({ ...nothing, path: null, treat: null, overheadMs: null, status: 0, keys: [] });
    expect(parsed(lineOf(event))).toMatchObject({
      group: null,
      host: null,
      port: null,
      path: null,
      status: 0,
    });
  });

  it('is ASCII on one line whatever a sandbox sends', () => {
    const line = lineOf(decision({ method: 'G\nET"\\', path: '/\u202e\u2028ü\x7f\x00', client: 'ÿ' }));
    expect(line).toMatch(/^[ -~]+$/);
    expect(parsed(line)).toMatchObject({ method: 'G\nET"\\', path: '/\u202e\u2028ü\x7f\x00', client: 'ÿ' });
  });

  it('escapes a rule that an operator wrote with quotes', () => {
    const rule = { file: 'policies/"ü".yaml', line: 1, text: 'allow "x"' };
    expect(parsed(lineOf(decision({ rule })))).toMatchObject({ rule });
  });

  it('does not hold query values', () => {
    expect(lineOf(decision({ path: '/x?key=SECRET' }))).not.toContain('SECRET');
  });

  it('writes numbers that are none as 0, so that the line stays JSON', () => {
    expect(parsed(lineOf(end({ ms: Number.NaN, bytesUp: Number.POSITIVE_INFINITY })))).toMatchObject({
      ms: 0,
      bytes_up: 0,
    });
  });

  it.each([0, -0, 0.0004, 0.001, 0.07, 0.1, 0.9996, 1, 12.3456, 999.9999, 86_400_000.123, -0.5, -3])(
    'writes %d milliseconds as the number with three digits behind the point that is nearest',
    (ms) => {
      expect(lineOf(end({ ms }))).toContain(`,"ms":${Math.round(ms * 1000) / 1000},`);
    },
  );

  it('carries a note of the writer before prev', () => {
    const value = parsed(lineOf(decision(), 'moved "x" aside'));
    expect(value['note']).toBe('moved "x" aside');
    expect(Object.keys(value).at(-1)).toBe('prev');
  });
});
