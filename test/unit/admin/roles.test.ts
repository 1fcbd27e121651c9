/** Roles over the API: every route says who may call it, and nobody else can. */
import { describe, expect, it } from 'vitest';
import { ROUTES } from '../../../src/admin/routes.ts';
import { mayAct, ROLES } from '../../../src/base/operator.ts';
import { adminWith } from './fakes.ts';

const bearer = (token: string) => ({ authorization: `Bearer ${token}`, host: 'localhost' });

describe('a role', () => {
  it.each(ROLES)('of %s gets 403 for what needs more, and never for what it may do', async (role) => {
    const { admin, operators } = adminWith();
    const headers = bearer(operators.add('ann', role));
    for (const route of ROUTES.filter(({ path }) => path !== '/api/v1/events')) {
      const url = route.path.replaceAll(/\{\w+\}/g, 'x');
      const answer = await admin.app.inject({ method: route.method, url, headers });
      const allowed = route.role === null || mayAct({ name: 'ann', role }, route.role);
      expect([route.method, url, answer.statusCode === 403]).toEqual([route.method, url, !allowed]);
    }
  });

  it('is looked at before the body is judged, so that a stranger to a route learns nothing of it', async () => {
    const { admin, operators, actions } = adminWith();
    const headers = bearer(operators.add('ann', 'viewer'));
    const answer = await admin.app.inject({ method: 'PUT', url: '/api/v1/lockdown', headers, payload: {} });
    expect(answer.statusCode).toBe(403);
    expect(answer.body).toContain('This needs the role approver; yours is viewer.');
    expect(actions).toMatchObject([{ operator: 'ann', action: 'PUT /api/v1/lockdown', outcome: 'refused' }]);
  });

  it('of approver locks, and does not let go', async () => {
    const { admin, operators, control, actions } = adminWith();
    const headers = bearer(operators.add('ann', 'approver'));
    const put = (on: boolean) =>
      admin.app.inject({ method: 'PUT', url: '/api/v1/lockdown', headers, payload: { on, reason: 'x' } });
    expect((await put(true)).statusCode).toBe(200);
    expect((await put(false)).statusCode).toBe(403);
    expect(control.locks).toHaveLength(1);
    expect(actions).toMatchObject([
      { operator: 'ann', action: 'lockdown.on', outcome: 'done' },
      { operator: 'ann', action: 'lockdown.off', outcome: 'refused' },
    ]);
  });
});

describe('an operator', () => {
  it('is told who they are', async () => {
    const { admin, operators } = adminWith();
    const headers = bearer(operators.add('ann', 'viewer'));
    const answer = await admin.app.inject({ url: '/api/v1/me', headers });
    expect(answer.json()).toEqual({ name: 'ann', role: 'viewer' });
  });

  it('who is revoked gets 401 from then on', async () => {
    const { admin, operators } = adminWith();
    const headers = bearer(operators.add('ann', 'viewer'));
    expect((await admin.app.inject({ url: '/api/v1/status', headers })).statusCode).toBe(200);
    operators.revoke('ann');
    expect((await admin.app.inject({ url: '/api/v1/status', headers })).statusCode).toBe(401);
  });
});
