import { describe, expect, it } from 'vitest';
import {
  type Auth,
  type Caller,
  createAuth,
  FAILURE_WINDOW_MS,
  MAX_FAILURES,
  MAX_FAILURES_IN_ALL,
} from '../../../src/admin/auth.ts';
import { heldClock } from '../audit/samples.ts';
import { adminWith, BEARER, TOKEN } from './fakes.ts';

const CALLER: Caller = {
  host: 'localhost:9090',
  origin: undefined,
  fetchSite: undefined,
  authorization: undefined,
  remote: '127.0.0.1',
  local: '127.0.0.1',
};

function auth(listenHost = '127.0.0.1', names: readonly string[] = []): Auth {
  return createAuth({ token: TOKEN, verify: () => null, listenHost, names, clock: heldClock() });
}

describe('Host', () => {
  it.each([
    'localhost',
    'LOCALHOST:9090',
    'localhost.:9090',
    '127.0.0.1:9090',
    '[::1]:9090',
    '10.0.0.5:9090',
    '10.0.0.9',
    'console.corp.example',
  ])('%s is ours', (host) => {
    const checked = auth('10.0.0.5', ['Console.corp.example']).checkOrigin({
      ...CALLER,
      host,
      local: '::ffff:10.0.0.9',
    });
    expect(checked).toBeNull();
  });

  it.each([
    undefined,
    '',
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example:9090',
    '10.0.0.6',
    'user@localhost',
    'localhost:9090:1',
    '[::1',
    'localhost/',
    '0.0.0.0',
  ])('%s is not', (host) => {
    expect(auth().checkOrigin({ ...CALLER, host })).toMatchObject({ status: 421 });
  });

  it('is checked for metrics and the API, but not for health', async () => {
    const { admin } = adminWith();
    const headers = { ...BEARER, host: 'rebound.example' };
    for (const [url, status] of [
      ['/metrics', 421],
      ['/api/v1/status', 421],
      ['/healthz', 200],
      ['/readyz', 200],
    ] as const) {
      expect([url, (await admin.app.inject({ url, headers })).statusCode]).toEqual([url, status]);
    }
  });
});

describe('Origin', () => {
  it.each([
    ['our own page', { origin: 'http://localhost:9090' }, true],
    ['our own page behind TLS', { origin: 'https://LOCALHOST:9090' }, true],
    ['no browser', {}, true],
    ['a browser on our own page', { fetchSite: 'same-origin' }, true],
    ['a typed address', { fetchSite: 'none' }, true],
    ['another page', { origin: 'http://evil.example' }, false],
    ['another port of this machine', { origin: 'http://localhost:3000' }, false],
    ['a page that hides where it is from', { origin: 'null' }, false],
    ['a name that begins like ours', { origin: 'http://localhost:9090.evil.example' }, false],
    ['a cross-site request without Origin', { fetchSite: 'cross-site' }, false],
    ['a neighbour under the same site', { fetchSite: 'same-site' }, false],
  ] as const)('%s', (_title, over, fine) => {
    const checked = auth().checkOrigin({ ...CALLER, ...over });
    expect(checked === null).toBe(fine);
    if (!fine) expect(checked).toMatchObject({ status: 403, code: 'origin_refused' });
  });
});

describe('the token', () => {
  it.each([
    ['is taken as Bearer', `Bearer ${TOKEN}`, null],
    ['is taken whatever the case of the scheme', `bearer ${TOKEN}`, null],
    ['is needed', undefined, 'token_required'],
    ['must be the whole one', `Bearer ${TOKEN.slice(0, -1)}`, 'token_invalid'],
    ['must be nothing more', `Bearer ${TOKEN}x`, 'token_invalid'],
    ['must not be empty', 'Bearer ', 'token_invalid'],
    ['is not taken as Basic', `Basic ${TOKEN}`, 'token_invalid'],
    ['is not taken alone', TOKEN, 'token_invalid'],
  ] as const)('%s', (_title, authorization, code) => {
    const checked = auth().checkToken({ ...CALLER, authorization });
    expect('code' in checked ? checked.code : null).toBe(code);
  });

  it('that is wrong gets 401 with the scheme to use', async () => {
    const { admin } = adminWith();
    const headers = { ...BEARER, authorization: 'Bearer wrong' };
    const answer = await admin.app.inject({ url: '/api/v1/status', headers });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="sallyport"');
  });
});

describe('wrong tokens', () => {
  it('are answered 429 after a few per address and minute; the right one still passes', () => {
    const clock = heldClock(0);
    const limited = createAuth({
      token: TOKEN,
      verify: () => null,
      listenHost: '127.0.0.1',
      names: [],
      clock,
    });
    const wrong = { ...CALLER, authorization: 'Bearer wrong' };
    for (let i = 0; i < MAX_FAILURES; i += 1)
      expect(limited.checkToken(wrong)).toMatchObject({ status: 401 });
    expect(limited.checkToken(wrong)).toMatchObject({ status: 429 });
    expect(limited.checkToken({ ...wrong, remote: '10.0.0.9' })).toMatchObject({ status: 401 });
    expect(limited.checkToken({ ...CALLER, authorization: `Bearer ${TOKEN}` })).toEqual({
      name: 'admin',
      role: 'admin',
    });
    clock.time = FAILURE_WINDOW_MS + 1;
    expect(limited.checkToken(wrong)).toMatchObject({ status: 401 });
  });

  it('of many addresses are answered 429 as well', () => {
    const clock = heldClock(0);
    const limited = createAuth({
      token: TOKEN,
      verify: () => null,
      listenHost: '127.0.0.1',
      names: [],
      clock,
    });
    const from = (address: number) =>
      limited.checkToken({ ...CALLER, authorization: 'Bearer wrong', remote: `10.0.0.${address}` });
    for (let i = 0; i < MAX_FAILURES_IN_ALL; i += 1) expect(from(i)).toMatchObject({ status: 401 });
    expect(from(200)).toMatchObject({ status: 429 });
    expect(limited.checkToken({ ...CALLER, authorization: `Bearer ${TOKEN}` })).toMatchObject({
      name: 'admin',
    });
  });

  it('say when to come back', async () => {
    const { admin } = adminWith();
    const headers = { ...BEARER, authorization: 'Bearer wrong' };
    let answer = await admin.app.inject({ url: '/api/v1/status', headers });
    for (let i = 0; i < MAX_FAILURES; i += 1)
      answer = await admin.app.inject({ url: '/api/v1/status', headers });
    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([429, '60']);
  });
});
