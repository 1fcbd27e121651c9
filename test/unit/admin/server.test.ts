import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MAX_BODY_BYTES } from '../../../src/admin/base-app.ts';
import { OPENAPI, ROUTES } from '../../../src/admin/routes.ts';
import { createMetricsListener } from '../../../src/admin/server.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { adminWith, BEARER, fakeControl, TOKEN } from './fakes.ts';

describe('health, readiness and metrics', () => {
  it('need no token', async () => {
    const { admin } = adminWith();
    for (const url of ['/healthz', '/readyz', '/metrics']) {
      expect((await admin.app.inject({ url, headers: { host: 'localhost' } })).statusCode).toBe(200);
    }
  });

  it('tell why the proxy is not ready', async () => {
    const { admin, control } = adminWith();
    control.why = ['the audit trail cannot be written'];
    const answer = await admin.app.inject('/readyz');
    expect(answer.statusCode).toBe(503);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.json()).toMatchObject({ ready: false, why: ['the audit trail cannot be written'] });
    expect((await admin.app.inject('/healthz')).statusCode).toBe(200);
  });

  it('serve the Prometheus text', async () => {
    const { admin } = adminWith();
    const answer = await admin.app.inject('/metrics');
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.body).toContain('sallyport_build_info{version="1.2.3",commit=""} 1');
  });
});

describe('the API', () => {
  it('answers with what the control plane says', async () => {
    const { admin, control } = adminWith();
    for (const [url, body] of [
      ['/api/v1/status', control.status()],
      ['/api/v1/groups', { groups: control.groups() }],
      ['/api/v1/flows', { flows: control.flows() }],
    ] as const) {
      const answer = await admin.app.inject({ url, headers: BEARER });
      expect([answer.statusCode, answer.json()]).toEqual([200, body]);
      expect(answer.headers['cache-control']).toBe('no-store');
    }
  });

  it('reloads, with an empty JSON body or with none', async () => {
    const { admin, control } = adminWith();
    const bare = await admin.app.inject({ method: 'POST', url: '/api/v1/reload', headers: BEARER });
    expect([bare.statusCode, bare.json()]).toEqual([200, { ok: true, policy: 'abc' }]);
    for (const payload of ['', '{}', ' ']) {
      const headers = { ...BEARER, 'content-type': 'application/json; charset=utf-8' };
      const answer = await admin.app.inject({ method: 'POST', url: '/api/v1/reload', headers, payload });
      expect(answer.statusCode).toBe(200);
    }
    expect(control.reloads).toBe(4);
  });

  it('answers 422 with every problem when the new policy is bad', async () => {
    const { admin, control } = adminWith();
    const problems = [{ file: 'a.yaml', line: 3, column: 5, message: 'unknown key', fix: 'methods' }];
    control.result = { ok: false, problems };
    const answer = await admin.app.inject({ method: 'POST', url: '/api/v1/reload', headers: BEARER });
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ status: 422, problems });
  });

  it('describes exactly its routes', async () => {
    const { admin } = adminWith();
    const answer = await admin.app.inject({ url: '/api/openapi.json', headers: BEARER });
    expect(answer.json()).toEqual(JSON.parse(JSON.stringify(OPENAPI)));
    const described = Object.entries(OPENAPI.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.toSorted()).toEqual(ROUTES.map(({ method, path }) => `${method} ${path}`).toSorted());
    for (const { path, method } of ROUTES) {
      const url = path.replaceAll(/\{(\w+)\}/g, ':$1');
      expect([path, method, admin.app.hasRoute({ url, method })]).toEqual([path, method, true]);
    }
  });
});

describe('what is wrong with a request', () => {
  const post = { method: 'POST', url: '/api/v1/reload' } as const;
  const json = { ...BEARER, 'content-type': 'application/json' };
  const ROWS = [
    ['an unknown path', { url: '/nothing' }, 404],
    ['an unknown path of the API', { url: '/api/v1/nothing', headers: BEARER }, 404],
    ['an unknown path of the API without a token', { url: '/api/v1/nothing' }, 401],
    ['a wrong method', { method: 'DELETE', url: '/api/v1/status', headers: BEARER }, 405],
    ['a GET of a write', { url: '/api/v1/reload', headers: BEARER }, 405],
    ['a body that is not JSON', { ...post, headers: json, payload: '{"a' }, 400],
    ['a body beyond the limit', { ...post, headers: json, payload: 'x'.repeat(MAX_BODY_BYTES + 1) }, 413],
    [
      'a form',
      {
        ...post,
        headers: { ...BEARER, 'content-type': 'application/x-www-form-urlencoded' },
        payload: 'a=b',
      },
      415,
    ],
    ['plain text', { ...post, headers: { ...BEARER, 'content-type': 'text/plain' }, payload: '{}' }, 415],
    [
      'a type that only begins like JSON',
      { ...post, headers: { ...BEARER, 'content-type': 'application/json-x' } },
      415,
    ],
    [
      'a body without a type',
      { ...post, headers: { ...BEARER, 'content-length': '2' }, payload: Buffer.from('{}') },
      415,
    ],
  ] as const;

  it.each(ROWS)('%s', async (_title, request, status) => {
    const { admin, control } = adminWith();
    const answer = await admin.app.inject(request);
    expect(answer.statusCode).toBe(status);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.json()).toMatchObject({ status });
    expect(answer.headers['x-content-type-options']).toBe('nosniff');
    expect(answer.headers['content-security-policy']).toContain("default-src 'none'");
    expect(control.reloads).toBe(0);
  });

  it('names the methods that a path has', async () => {
    const { admin } = adminWith();
    const answer = await admin.app.inject({ method: 'PUT', url: '/api/v1/reload', headers: BEARER });
    expect(answer.headers.allow).toBe('POST');
  });

  it('tells nothing of an error inside', async () => {
    const { admin } = adminWith({
      control: {
        ...fakeControl(),
        status: () => {
          throw new Error('a secret detail');
        },
      },
    });
    const answer = await admin.app.inject({ url: '/api/v1/status', headers: BEARER });
    expect(answer.statusCode).toBe(500);
    expect(answer.body).not.toContain('secret detail');
  });
});

describe('on a real socket', () => {
  it('listens on a free port, answers, and closes with connections open', async () => {
    const { admin } = adminWith();
    const { address, port } = await admin.listen();
    expect(address).toBe('127.0.0.1');
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/status`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect(await answer.json()).toMatchObject({ version: '1.2.3' });
    await admin.close();
    await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow();
  });

  it('answers bytes that are no request with a problem', async () => {
    const { admin } = adminWith();
    const { port } = await admin.listen();
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.end('NOT HTTP\r\n\r\n'));
      let got = '';
      socket.on('data', (bytes: Buffer) => (got += bytes.toString('latin1')));
      socket.on('error', reject);
      socket.on('close', () => resolve(got));
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toContain('application/problem+json');
  });
});

describe('the metrics listener', () => {
  it('serves /metrics under any Host, and nothing else', async () => {
    const listener = createMetricsListener({
      metrics: createMetrics({ version: '1' }),
      listen: { host: '127.0.0.1', port: 0 },
    });
    onTestFinished(() => listener.close());
    const { port } = await listener.listen();
    const metrics = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect(await metrics.text()).toContain('sallyport_build_info');
    const named = await listener.app.inject({ url: '/metrics', headers: { host: 'sallyport:9100' } });
    expect(named.statusCode).toBe(200);
    for (const url of ['/healthz', '/api/v1/status', '/']) {
      expect((await listener.app.inject({ url, headers: BEARER })).statusCode).toBe(404);
    }
    expect((await listener.app.inject({ method: 'POST', url: '/metrics' })).statusCode).toBe(405);
  });
});

it('a token that is too short to be ours is refused at start', () => {
  expect(() => adminWith({ token: '' })).toThrow(/too short/);
});
