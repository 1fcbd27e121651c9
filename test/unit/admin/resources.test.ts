/** Flows, blocked hosts, tokens, questions and the record over the API. */
import { URI } from 'otpauth';
import { describe, expect, it } from 'vitest';
import { decision, operator, record } from '../audit/samples.ts';
import { adminWith, BEARER } from './fakes.ts';

const ask = (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) =>
  ({ method, url, headers: BEARER, ...(payload === undefined ? {} : { payload }) }) as const;

describe('flows', () => {
  it('one is cut by its id, and the record says by whom', async () => {
    const { admin, actions } = adminWith();
    const answer = await admin.app.inject(ask('DELETE', '/api/v1/flows/f1'));
    expect([answer.statusCode, answer.json()]).toEqual([200, { id: 'f1', cut: true }]);
    expect(actions).toMatchObject([{ action: 'flow.cut', subject: 'f1', operator: 'admin' }]);
  });

  it('one that is not open is 404, and no action', async () => {
    const { admin, actions } = adminWith();
    expect((await admin.app.inject(ask('DELETE', '/api/v1/flows/f2'))).statusCode).toBe(404);
    expect(actions).toEqual([]);
  });
});

describe('blocked hosts', () => {
  it.each([
    ['', 200, 2],
    ['?limit=1', 200, 1],
    ['?limit=0', 400, 0],
    ['?limit=1001', 400, 0],
    ['?limit=x', 400, 0],
    ['?other=1', 400, 0],
  ])('%s', async (search, status, count) => {
    const { admin } = adminWith();
    const answer = await admin.app.inject(ask('GET', `/api/v1/blocked${search}`));
    expect(answer.statusCode).toBe(status);
    if (status === 200) expect(answer.json<{ blocked: unknown[] }>().blocked).toHaveLength(count);
  });
});

describe('operators', () => {
  const codeOf = (uri: string): string => URI.parse(uri).generate();

  it('are let in, shown once, listed without their secret, and revoked', async () => {
    const { admin, actions, operators } = adminWith();
    const made = await admin.app.inject(ask('POST', '/api/v1/operators', { name: 'ann', role: 'approver' }));
    const { token } = made.json<{ token: string }>();
    expect([made.statusCode, operators.verify(token)]).toEqual([201, { name: 'ann', role: 'approver' }]);
    const listed = await admin.app.inject(ask('GET', '/api/v1/operators'));
    expect(listed.json()).toMatchObject({ operators: [{ name: 'ann', role: 'approver', totp: false }] });
    expect(listed.body).not.toContain(token.slice(-43));
    expect((await admin.app.inject(ask('DELETE', '/api/v1/operators/ann'))).statusCode).toBe(200);
    expect(operators.verify(token)).toBeNull();
    expect(actions.map(({ action, subject, why }) => [action, subject, why])).toEqual([
      ['operator.add', 'ann', 'role approver'],
      ['operator.revoke', 'ann', null],
    ]);
    expect(JSON.stringify(actions)).not.toContain(token);
  });

  it.each([
    ['a name that is taken', { name: 'bob', role: 'viewer' }, 422],
    ['the name of the built-in admin', { name: 'admin', role: 'viewer' }, 422],
    ['a name of two lines', { name: 'a\nb', role: 'viewer' }, 422],
    ['a role that is none', { name: 'ann', role: 'root' }, 400],
    ['no role', { name: 'ann' }, 400],
    ['an unknown key', { name: 'ann', role: 'viewer', totp: true }, 400],
  ])('with %s are not let in', async (_title, payload, status) => {
    const { admin, actions, operators } = adminWith();
    operators.add('bob', 'viewer');
    expect((await admin.app.inject(ask('POST', '/api/v1/operators', payload))).statusCode).toBe(status);
    expect(actions).toEqual([]);
  });

  it('that are not there are 404', async () => {
    const { admin } = adminWith();
    expect((await admin.app.inject(ask('DELETE', '/api/v1/operators/eve'))).statusCode).toBe(404);
    const url = '/api/v1/operators/eve/totp';
    expect((await admin.app.inject(ask('POST', url, { code: '000000' }))).statusCode).toBe(404);
  });

  it('get a second factor from an admin who shows theirs, and from nobody else', async () => {
    const { admin, actions, operators } = adminWith();
    operators.add('ann', 'approver');
    const enrol = (code: string) => admin.app.inject(ask('POST', '/api/v1/operators/ann/totp', { code }));
    // The admin has none: whoever has only the token cannot make one.
    const type = 'urn:sallyport:admin:';
    expect((await enrol('000000')).json()).toMatchObject({ status: 403, type: `${type}code_unavailable` });
    const own = operators.enrol('admin');
    expect((await enrol('12345678')).json()).toMatchObject({ status: 403, type: `${type}code_wrong` });
    expect(operators.list()).toMatchObject([{ name: 'ann', totp: false }]);
    const code = codeOf(own);
    const made = await enrol(code);
    expect(made.statusCode).toBe(201);
    const { uri } = made.json<{ uri: string }>();
    expect(await operators.verifyCode('ann', codeOf(uri))).toBe('right');
    // And each code once.
    expect((await enrol(code)).statusCode).toBe(403);
    expect(actions.map(({ action, outcome }) => [action, outcome])).toEqual([
      ['operator.totp', 'refused'],
      ['operator.totp', 'refused'],
      ['operator.totp', 'done'],
      ['operator.totp', 'refused'],
    ]);
    expect(JSON.stringify(actions)).not.toContain(URI.parse(uri).secret.base32);
  });

  it('that are revoked get none', async () => {
    const { admin, operators } = adminWith();
    operators.add('ann', 'approver');
    operators.revoke('ann');
    const code = codeOf(operators.enrol('admin'));
    const answer = await admin.app.inject(ask('POST', '/api/v1/operators/ann/totp', { code }));
    expect(answer.statusCode).toBe(404);
  });
});

describe('tokens', () => {
  it('are made, shown once, listed without their secret, and revoked', async () => {
    const { admin, actions } = adminWith();
    const made = await admin.app.inject(
      ask('POST', '/api/v1/tokens', { group: 'ai-agents', name: 'ci', expires: '1d' }),
    );
    const { id, token } = made.json<{ id: string; token: string }>();
    expect([made.statusCode, token.startsWith(`sp_${id}_`)]).toEqual([201, true]);
    const listed = await admin.app.inject(ask('GET', '/api/v1/tokens'));
    expect(listed.json()).toMatchObject({ tokens: [{ id, group: 'ai-agents', name: 'ci', revoked: null }] });
    expect(listed.body).not.toContain(token.slice(-43));
    expect(listed.body).not.toContain('hash');
    const revoked = await admin.app.inject(ask('DELETE', `/api/v1/tokens/${id}`));
    expect(revoked.statusCode).toBe(200);
    const after = await admin.app.inject(ask('GET', '/api/v1/tokens'));
    expect(after.json<{ tokens: { revoked: string | null }[] }>().tokens[0]?.revoked).not.toBeNull();
    expect(actions.map(({ action, subject }) => [action, subject])).toEqual([
      ['token.create', id],
      ['token.revoke', id],
    ]);
    expect(JSON.stringify(actions)).not.toContain(token);
  });

  it.each([
    ['a group that is not there', { group: 'nobody' }, 422],
    ['a life time that is none', { group: 'ai-agents', expires: 'soon' }, 400],
    ['a life time of nothing', { group: 'ai-agents', expires: '0s' }, 422],
    ['a name of two lines', { group: 'ai-agents', name: 'a\nb' }, 422],
    ['an unknown key', { group: 'ai-agents', scope: 'x' }, 400],
    ['no group', {}, 400],
  ])('with %s are not made', async (_title, payload, status) => {
    const { admin, actions } = adminWith();
    expect((await admin.app.inject(ask('POST', '/api/v1/tokens', payload))).statusCode).toBe(status);
    expect(actions).toEqual([]);
  });

  it('that are not there are 404', async () => {
    const { admin } = adminWith();
    expect((await admin.app.inject(ask('DELETE', '/api/v1/tokens/tok_x'))).statusCode).toBe(404);
  });
});

describe('a question', () => {
  it('is answered as the command does', async () => {
    const { admin } = adminWith();
    const answer = await admin.app.inject(
      ask('POST', '/api/v1/explain', { group: 'ai-agents', url: 'https://a.test/' }),
    );
    expect([answer.statusCode, answer.json()]).toMatchObject([
      200,
      { group: 'ai-agents', verdict: 'deny', rules: [] },
    ]);
  });

  it('that makes no sense is 400 with the reason', async () => {
    const { admin } = adminWith();
    const answer = await admin.app.inject(
      ask('POST', '/api/v1/explain', { group: 'x', url: 'https://a.test/' }),
    );
    expect([answer.statusCode, answer.body.includes('no such group')]).toEqual([400, true]);
  });
});

describe('the record', () => {
  it('is searched, a page at a time, newest first', async () => {
    const { admin, trail } = adminWith();
    for (let n = 0; n < 3; n += 1) await record(trail, decision({ flow: `f${n}`, host: 'a.test' }));
    await record(trail, decision({ flow: 'other', host: 'b.test' }));
    type Page = { records: { flow: string }[]; next: string | null };
    const first = (await admin.app.inject(ask('GET', '/api/v1/audit?host=a.test&limit=2'))).json<Page>();
    expect(first.records.map(({ flow }) => flow)).toEqual(['f2', 'f1']);
    const url = `/api/v1/audit?host=a.test&limit=2&cursor=${encodeURIComponent(first.next ?? '')}`;
    const second = (await admin.app.inject(ask('GET', url))).json<Page>();
    expect(second.records.map(({ flow }) => flow)).toEqual(['f0']);
  });

  it('has what operators did', async () => {
    const { admin, trail } = adminWith();
    trail.operator(operator({ operator: 'ann' }));
    await record(trail);
    const answer = await admin.app.inject(ask('GET', '/api/v1/audit?operator=ann'));
    expect(answer.json()).toMatchObject({ records: [{ kind: 'operator', operator: 'ann' }] });
  });

  it.each(['limit=0', 'limit=1001', 'since=yesterday', 'cursor=x', 'kind=other', 'hots=a', 'group='])(
    'with ?%s is 400',
    async (search) => {
      const { admin } = adminWith();
      expect((await admin.app.inject(ask('GET', `/api/v1/audit?${search}`))).statusCode).toBe(400);
    },
  );

  it.each(['since=2026-03-01T12:00:00Z', 'until=2026-03-01T13:00:00%2B01:00'])(
    'takes ?%s',
    async (search) => {
      const { admin } = adminWith();
      expect((await admin.app.inject(ask('GET', `/api/v1/audit?${search}`))).statusCode).toBe(200);
    },
  );
});
