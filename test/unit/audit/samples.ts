/** Events, folders and readers that the audit tests share. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { DecisionEvent, EndEvent, OperatorEvent } from '../../../src/audit/event.ts';
import { listAuditFiles } from '../../../src/audit/files.ts';
import type { AuditTrailOptions } from '../../../src/audit/trail-options.ts';
import { type AuditTrail, openAuditTrail } from '../../../src/audit/writer.ts';
import type { Clock } from '../../../src/base/clock.ts';

const COMMON = {
  stage: 'request',
  flow: '01K0FLOW',
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
  keys: ['OPENAI_API_KEY'],
  policy: 'abcdef012345',
} as const;

export function decision(over: Partial<DecisionEvent> = {}): DecisionEvent {
  return {
    kind: 'decision',
    ...COMMON,
    verdict: 'allow',
    reason: null,
    rule: { file: 'policies/a.yaml', line: 7, text: 'allow api.openai.com' },
    hostLabel: 'api.openai.com',
    ...over,
  };
}

export function end(over: Partial<EndEvent> = {}): EndEvent {
  return {
    kind: 'end',
    ...COMMON,
    reason: null,
    status: 200,
    bytesUp: 10,
    bytesDown: 20,
    ms: 12.3456,
    overheadMs: 0.07,
    ended: 'done',
    scrubbed: [],
    ...over,
  };
}

export function operator(over: Partial<OperatorEvent> = {}): OperatorEvent {
  return {
    kind: 'operator',
    action: 'lockdown.on',
    operator: 'ann',
    origin: 'api',
    client: '10.0.0.5',
    group: '*',
    subject: null,
    outcome: 'done',
    why: 'incident 42',
    actedAt: Date.parse('2026-03-01T11:59:59.000Z'),
    ...over,
  };
}

/** Time that stands still until it is moved. */
export function heldClock(start = Date.parse('2026-03-01T12:00:00.000Z')): Clock & { time: number } {
  const clock = { time: start, now: () => clock.time, mono: () => clock.time };
  return clock;
}

/** A state folder of this test's own; the audit folder is `audit` in it. */
export function stateDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-audit-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function openTrail(dir: string, over: Partial<AuditTrailOptions> = {}): AuditTrail {
  const trail = openAuditTrail({ dir, sync: 'batch', clock: heldClock(), ...over });
  onTestFinished(() => trail.close());
  return trail;
}

/** Hands in one decision; resolves with what its callback got. */
export function record(trail: AuditTrail, event: DecisionEvent = decision()): Promise<Error | null> {
  return new Promise((resolve) => trail.decision(event, resolve));
}

export async function recordMany(trail: AuditTrail, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await record(trail, decision({ flow: `flow-${i}` }));
}

export function linesOf(dir: string): string[] {
  return listAuditFiles(dir).flatMap(({ path }) => readFileSync(path, 'latin1').split('\n').slice(0, -1));
}

export function parsed(line: string | undefined): Record<string, unknown> {
  const value: unknown = JSON.parse(line ?? 'null');
  if (typeof value !== 'object' || value === null) throw new Error(`not a record: ${line}`);
  return { ...value };
}
