/** A control plane and metrics that the admin tests set as they need. */

import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Admin, AdminOptions } from '../../../src/admin/server.ts';
import { createAdmin } from '../../../src/admin/server.ts';
import type { OperatorEvent } from '../../../src/audit/event.ts';
import { RecordFeed } from '../../../src/audit/feed.ts';
import type { AuditTrail } from '../../../src/audit/writer.ts';
import type { ApprovalView, Decided, Decision } from '../../../src/base/approvals.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { ControlPlane, LockView, ReloadResult } from '../../../src/base/control.ts';
import { UNIDENTIFIED } from '../../../src/config/explain-ask.ts';
import { openTokenStore } from '../../../src/identify/token.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { type OperatorStore, openOperators } from '../../../src/operators/store.ts';
import { openTrail, stateDir } from '../audit/samples.ts';

export const TOKEN = 'a-token-of-the-admin-side-0123456789';

export type FakeControl = { -readonly [K in keyof ControlPlane]: ControlPlane[K] } & {
  why: string[];
  result: ReloadResult;
  reloads: number;
  locks: LockView[];
  decided: Decided;
  decisions: Decision[];
  problem: string | null;
};

/** What `explain` says of key sets: one that is narrowed, one that is not. */
const SETS = [
  { key: 'AWS_ACCESS_KEY_ID', regions: ['eu-central-1'], services: ['s3'] },
  { key: 'MINIO_AWS_ACCESS_KEY_ID', regions: null, services: null },
];

/** One call that waits. */
export const HELD: ApprovalView = {
  id: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
  group: 'ai-agents',
  identity: 'tok_1',
  client: '172.25.0.3',
  host: 'api.stripe.com:443',
  method: 'POST',
  path: '/v1/charges',
  url: 'https://api.stripe.com/v1/charges',
  protocol: 'http',
  keys: ['STRIPE_KEY'],
  rule: { file: 'policies/a.yaml', line: 7, text: 'approve api.stripe.com' },
  since: '2026-03-01T12:00:00.000Z',
  expires: '2026-03-01T12:05:00.000Z',
  waiting: 2,
  same: 1,
  body: { bytes: 10, length: 10, type: null, text: 'amount=100', whole: true },
  remember: 600,
  second_factor: false,
  not_before: null,
  key: 'a'.repeat(64),
  likeness: 'b'.repeat(64),
};

export function fakeControl(): FakeControl {
  const control: FakeControl = {
    why: [],
    result: { ok: true, policy: 'abc' },
    reloads: 0,
    locks: [],
    decided: { kind: 'done', group: 'ai-agents', released: 1, remembered: null },
    decisions: [],
    problem: null,
    ready: () => ({ ready: control.why.length === 0, why: control.why }),
    status: () => ({
      version: '1.2.3',
      started: '2026-03-01T12:00:00.000Z',
      uptime_seconds: 5,
      ready: true,
      why: [],
      policy: 'abc',
      policy_loaded: '2026-03-01T12:00:00.000Z',
      groups: 1,
      open_connections: 0,
      listeners: { proxy: '127.0.0.1:8080', admin: '127.0.0.1:9090' },
      audit: { healthy: true, seq: 3, hash: 'f'.repeat(64) },
    }),
    groups: () => [
      {
        group: 'ai-agents',
        description: null,
        mode: 'enforce',
        token: 'optional',
        sources: ['172.25.0.0/16'],
        rules: 4,
        keys: { usable: 3, total: 5, names: ['A', 'B', 'C'], unavailable: [{ name: 'B', why: 'not set' }] },
        open_connections: 0,
        limits: {
          connections: { limit: 256, used: 3 },
          requests: { limit: '600/m', used: 12 },
          upload: null,
          download: null,
        },
        file: 'policies/a.yaml',
      },
    ],
    flows: () => [
      {
        id: 'f1',
        group: 'ai-agents',
        identity: 'tok_1',
        host: 'api.openai.com:443',
        treat: 'intercept',
        started: '2026-03-01T12:00:00.000Z',
        bytes_up: 1,
        bytes_down: 2,
      },
    ],
    reload() {
      control.reloads += 1;
      return control.result;
    },
    blocked: (limit) =>
      [
        {
          group: 'ai-agents',
          host: 'evil.example',
          reason: 'host_not_allowed',
          count: 3,
          last: '2026-03-01T12:00:00.000Z',
        },
        {
          group: 'ai-agents',
          host: 'odd.example',
          reason: 'rule_denied',
          count: 1,
          last: '2026-03-01T12:00:00.000Z',
        },
      ].slice(0, limit),
    cutFlow: (id) => id === 'f1',
    explain: ({ group = null }) =>
      group === 'ai-agents'
        ? { group, explanation: { ...UNIDENTIFIED, aws: SETS } }
        : { problem: 'there is no such group' },
    lockdown: () => ({ locks: control.locks }),
    setLockdown: async ({ on, group, by, reason }) => {
      const changed = on !== control.locks.some((lock) => lock.group === group);
      control.locks = control.locks.filter((lock) => lock.group !== group);
      if (on) control.locks.push({ group, since: '2026-03-01T12:00:00.000Z', by, reason });
      return { changed, problem: control.problem };
    },
    approvals: async () => ({ approvals: [HELD], remembered: [] }),
    decide: async (decision) => {
      control.decisions.push(decision);
      return control.decided;
    },
    forget: async (id) => id === HELD.id,
  };
  return control;
}

export function adminWith(over: Partial<AdminOptions> = {}): {
  admin: Admin;
  control: FakeControl;
  actions: OperatorEvent[];
  operators: OperatorStore;
  trail: AuditTrail;
} {
  const control = fakeControl();
  const actions: OperatorEvent[] = [];
  const dir = stateDir();
  const auditDir = join(dir, 'audit');
  const operators = openOperators({ dir, clock: systemClock, watch: false });
  const trail = openTrail(auditDir, { clock: systemClock });
  const feed = new RecordFeed({ root: auditDir, onError: () => {}, everyMs: 10, keep: 50 });
  const admin = createAdmin({
    control,
    metrics: createMetrics({ version: '1.2.3' }),
    operators,
    tokens: openTokenStore({ dir, clock: systemClock, watch: false }),
    auditDir,
    feed,
    onError: () => {},
    record: (event) => void actions.push(event),
    clock: systemClock,
    token: TOKEN,
    listen: { host: '127.0.0.1', port: 0 },
    ...over,
  });
  onTestFinished(async () => {
    feed.close();
    await admin.close();
  });
  return { admin, control, actions, operators, trail };
}

export const BEARER = { authorization: `Bearer ${TOKEN}`, host: 'localhost:9090' } as const;
