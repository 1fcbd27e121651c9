/** Approvals over the API: what is shown, who decides, what each end of a call is told as, and what is recorded. */
import { describe, expect, it, vi } from 'vitest';
import type { Decided } from '../../../src/base/approvals.ts';
import { adminWith, BEARER, HELD } from './fakes.ts';

const url = `/api/v1/approvals/${HELD.id}`;
const post = (payload: object, at = url) => ({ method: 'POST', url: at, headers: BEARER, payload }) as const;

describe('GET /api/v1/approvals', () => {
  it('shows what waits, without what only the processes of the proxy need', async () => {
    const { admin } = adminWith();
    const answer = await admin.app.inject({ url: '/api/v1/approvals', headers: BEARER });
    const { key: _key, likeness: _likeness, ...shown } = HELD;
    expect(answer.json()).toEqual({ approvals: [shown], remembered: [] });
  });
});

describe('POST /api/v1/approvals/{id}', () => {
  it('decides under the name of the operator, and records it', async () => {
    const { admin, control, actions } = adminWith();
    const answer = await admin.app.inject(post({ decision: 'deny', reason: 'no' }));
    expect([answer.statusCode, answer.json()]).toEqual([
      200,
      { id: HELD.id, decision: 'deny', released: 1, remembered: null },
    ]);
    expect(control.decisions).toEqual([
      { id: HELD.id, decision: 'deny', reason: 'no', remember: true, by: 'admin', verified: false },
    ]);
    expect(actions).toMatchObject([
      { action: 'approval.deny', operator: 'admin', group: 'ai-agents', subject: HELD.id, why: 'no' },
    ]);
  });

  it.each<[string, Decided, number, string]>([
    ['another operator was first', { kind: 'over', how: 'allowed', by: 'bob' }, 409, 'already_decided'],
    ['the client has left', { kind: 'over', how: 'withdrawn', by: null }, 410, 'gone'],
    ['nobody decided in time', { kind: 'over', how: 'timeout', by: null }, 410, 'gone'],
    ['it was refused meanwhile', { kind: 'over', how: 'refused', by: null }, 410, 'gone'],
    ['nobody knows it', { kind: 'unknown' }, 410, 'gone'],
    ['it wants a one-time code', { kind: 'code_needed' }, 403, 'code_needed'],
    ['its rule cools down', { kind: 'cooling', until: '2026-03-01T12:00:00.000Z' }, 409, 'cooling'],
    ['whoever holds it does not answer', { kind: 'unanswered' }, 503, 'unanswered'],
    ['it cannot be written down', { kind: 'failed' }, 503, 'not_written'],
  ])('says so when %s, and records nothing', async (_title, decided, status, code) => {
    const { admin, control, actions } = adminWith();
    control.decided = decided;
    const answer = await admin.app.inject(post({ decision: 'allow' }));
    expect(answer.statusCode).toBe(status);
    expect(answer.json()).toMatchObject({ type: `urn:sallyport:admin:${code}` });
    expect(actions).toEqual([]);
  });

  it.each([
    ['right', 200, true],
    ['wrong', 403, false],
    ['not_enrolled', 403, false],
    ['too_many', 429, false],
    ['unshared', 503, false],
  ] as const)('takes a one-time code that is %s for what it is', async (verdict, status, decides) => {
    const { admin, control, operators } = adminWith();
    vi.spyOn(operators, 'verifyCode').mockResolvedValue(verdict);
    const answer = await admin.app.inject(post({ decision: 'allow', code: '123456' }));
    expect(answer.statusCode).toBe(status);
    expect(control.decisions.map(({ verified }) => verified)).toEqual(decides ? [true] : []);
  });

  it.each([
    ['no decision', {}],
    ['another word', { decision: 'maybe' }],
    ['a reason of two lines', { decision: 'deny', reason: 'a\nb' }],
    ['a long reason', { decision: 'deny', reason: 'a'.repeat(301) }],
    ['a code that is none', { decision: 'allow', code: '12 34' }],
    ['an unknown key', { decision: 'allow', force: true }],
  ])('is refused with %s', async (_title, payload) => {
    const { admin, control } = adminWith();
    const answer = await admin.app.inject(post(payload));
    expect([answer.statusCode, control.decisions]).toEqual([400, []]);
  });

  it('is 404 for what is no id', async () => {
    const { admin } = adminWith();
    const answer = await admin.app.inject(post({ decision: 'allow' }, '/api/v1/approvals/x'));
    expect(answer.statusCode).toBe(404);
  });
});

describe('DELETE /api/v1/approvals/{id}', () => {
  it('takes a yes back, and records who did', async () => {
    const { admin, actions } = adminWith();
    const forget = { method: 'DELETE', url, headers: BEARER } as const;
    expect((await admin.app.inject(forget)).json()).toEqual({ id: HELD.id });
    expect(actions).toMatchObject([{ action: 'approval.forget', subject: HELD.id }]);
    const other = await admin.app.inject({ ...forget, url: '/api/v1/approvals/x' });
    expect(other.statusCode).toBe(404);
  });
});
