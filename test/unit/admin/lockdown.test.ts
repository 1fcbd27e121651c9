/** The lockdown over the API: who may, what is refused, and what goes into the record. */
import { describe, expect, it } from 'vitest';
import { adminWith, BEARER } from './fakes.ts';

const put = (payload: object) =>
  ({ method: 'PUT', url: '/api/v1/lockdown', headers: BEARER, payload }) as const;
const reason = 'incident 42';

describe('PUT /api/v1/lockdown', () => {
  it('locks everybody, and the record says who and why', async () => {
    const { admin, actions } = adminWith();
    const answer = await admin.app.inject(put({ on: true, reason }));
    expect([answer.statusCode, answer.json()]).toMatchObject([
      200,
      { locked: true, locks: [{ group: '*', by: 'admin', reason }] },
    ]);
    expect(actions).toMatchObject([
      {
        action: 'lockdown.on',
        operator: 'admin',
        origin: 'api',
        client: '127.0.0.1',
        group: '*',
        why: reason,
      },
    ]);
    const shown = await admin.app.inject({ url: '/api/v1/lockdown', headers: BEARER });
    expect(shown.json()).toEqual(answer.json());
  });

  it('of what stands already records nothing', async () => {
    const { admin, actions } = adminWith();
    await admin.app.inject(put({ on: true, reason }));
    await admin.app.inject(put({ on: true, reason }));
    expect(actions).toHaveLength(1);
  });

  it('of a group is not the lock of all', async () => {
    const { admin } = adminWith();
    const answer = await admin.app.inject(put({ on: true, group: 'ai-agents', reason }));
    expect(answer.json()).toMatchObject({ locked: false, locks: [{ group: 'ai-agents' }] });
  });

  it('says so when it could not be written, and that it is in force', async () => {
    const { admin, control, actions } = adminWith();
    control.problem = 'ENOSPC';
    const answer = await admin.app.inject(put({ on: true, reason }));
    expect([answer.statusCode, actions.length]).toEqual([500, 1]);
    expect(answer.body).toContain('In force, but it could not be written');
  });

  it.each([
    ['a group that is not there', { on: true, group: 'nobody', reason }, 422],
    ['no reason', { on: true }, 400],
    ['an empty reason', { on: true, reason: '' }, 400],
    ['a reason of two lines', { on: true, reason: 'a\nb' }, 400],
    ['a word for yes', { on: 'yes', reason }, 400],
    ['an unknown key', { on: true, reason, force: true }, 400],
    ['no object', [], 400],
  ])('is refused with %s', async (_title, payload, status) => {
    const { admin, control, actions } = adminWith();
    expect((await admin.app.inject(put(payload))).statusCode).toBe(status);
    expect([control.locks, actions]).toEqual([[], []]);
  });

  it('works for any group while no policy is loaded', async () => {
    const { admin, control } = adminWith();
    control.groups = () => [];
    expect((await admin.app.inject(put({ on: true, group: 'any', reason }))).statusCode).toBe(200);
  });
});
