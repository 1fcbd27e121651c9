/** What `mint:` promises beyond the cases of all sources, against a double of token endpoints and of GitHub's API. */
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MintSpec, SourceRef } from '../../src/policy/model.ts';
import { SecretValue } from '../../src/secrets/value.ts';
import { createMintSource } from '../../src/vault/mint.ts';
import { type SecretSource, SecretSourceError } from '../../src/vault/source.ts';
import { type MintServer, mintServer } from '../helpers/mint-server.ts';
import { httpParent, socksParent } from '../helpers/parents.ts';
import { hasProgram } from '../helpers/programs.ts';
import { eventually, movableClock } from '../helpers/world.ts';

const NAME = 'keys/crm';
const credential: SourceRef = { kind: 'vault', name: 'crm', text: 'vault:crm' };

describe('a minted key', () => {
  let server: MintServer;
  let source: SecretSource;
  let clock = movableClock();
  let problems: string[] = [];
  let outcomes: string[] = [];
  /** what proves who the proxy is */
  let proof: string | SecretSourceError = '';

  const open = (more: { ca?: readonly string[]; proxy?: string } = {}): void => {
    source?.close?.();
    source = createMintSource({
      ca: server.ca,
      clock,
      limits: { tickMs: 20, fetchMs: 5_000 },
      read: async ({ text }) => {
        if (typeof proof !== 'string') throw proof;
        return new SecretValue(text, Buffer.from(proof));
      },
      onProblem: (message) => problems.push(message),
      onFetch: (kind, outcome) => outcomes.push(`${kind} ${outcome}`),
      ...more,
    });
  };
  const learn = (mint: MintSpec): void =>
    source.learn?.([{ kind: 'mint', name: NAME, text: `mint:${NAME}`, mint }]);
  const client = (more: Partial<Extract<MintSpec, { kind: 'client_credentials' }>> = {}): MintSpec => ({
    kind: 'client_credentials',
    origin: server.origin,
    path: '/oauth/token?tenant=a',
    clientId: server.client.id,
    auth: 'basic',
    credential,
    fields: [],
    ...more,
  });
  const app = (more: Partial<Extract<MintSpec, { kind: 'github_app' }>> = {}): MintSpec => ({
    kind: 'github_app',
    origin: server.origin,
    path: '/app/installations/678/access_tokens',
    appId: '12345',
    credential,
    repositories: null,
    permissions: null,
    ...more,
  });
  const text = async () => (await source.get(NAME)).expose().toString();
  const failure = () =>
    source.get(NAME).then(
      () => 'no error',
      (error: unknown) =>
        `${error instanceof SecretSourceError ? error.code : ''} ${inspect(error, { depth: 9 })}`,
    );

  beforeEach(async () => {
    clock = movableClock();
    problems = [];
    outcomes = [];
    server = await mintServer();
    proof = server.client.secret;
    open();
  });
  afterEach(async () => {
    source.close?.();
    await server.close();
  });

  it('of client credentials is got with the secret by Basic, each part in form encoding', async () => {
    learn(
      client({
        fields: [
          ['scope', 'read write'],
          ['audience', 'https://api.test'],
        ],
      }),
    );
    expect(await text()).toBe(server.given[0]);
    const [question] = server.asked;
    expect(question?.path).toBe('/oauth/token?tenant=a');
    expect(question?.body).toBe(
      'grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Fapi.test',
    );
    expect(Buffer.from(question?.headers.authorization?.slice(6) ?? '', 'base64').toString()).toBe(
      'sally+port%3A1:s%2Bcret%2Fwith%3Asigns%25',
    );
    expect(source.kind).toBe('mint');
    expect(outcomes).toEqual(['mint ok']);
  });

  it('of client credentials is got with the secret in the body, and nowhere else', async () => {
    learn(client({ auth: 'body' }));
    expect(await text()).toBe(server.given[0]);
    expect(server.asked[0]?.headers.authorization).toBeUndefined();
  });

  it.each([
    ['RS256', 'rsa'],
    ['ES256', 'ec'],
  ] as const)('of client credentials is got with an assertion signed %s', async (alg, kind) => {
    proof = server.keys[kind];
    const assertion = { alg, keyId: 'key-1', audience: 'https://login.test' };
    learn(client({ auth: 'private_key_jwt', assertion }));
    expect(await text()).toBe(server.given[0]);
    const claims = server.asked[0]?.claims ?? {};
    const { id } = server.client;
    expect(claims).toMatchObject({ iss: id, sub: id, aud: 'https://login.test', kid: 'key-1' });
    expect(Number(claims['exp']) - Number(claims['iat'])).toBe(60);
    expect(claims['jti']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('of a GitHub App is got with an assertion of the app, for the repositories and permissions named', async () => {
    proof = server.keys.rsa;
    learn(app({ repositories: ['web'], permissions: { contents: 'read' } }));
    expect(await text()).toMatch(/^ghs_/);
    expect(JSON.parse(server.asked[0]?.body ?? '')).toEqual({
      repositories: ['web'],
      permissions: { contents: 'read' },
    });
    expect(server.asked[0]?.claims).toMatchObject({ iss: '12345' });
    expect(server.asked[0]?.headers).toMatchObject({
      accept: 'application/vnd.github+json',
      'x-github-api-version': '2022-11-28',
      'user-agent': 'sallyport',
    });
  });

  it('is asked for once by all who need it, and again shortly before it ends', async () => {
    server.lifetime(3600);
    learn(client());
    const [one, two] = await Promise.all([text(), text()]);
    expect([one, two]).toEqual([server.given[0], server.given[0]]);
    clock.advance(3_140_000);
    expect(await text()).toBe(one);
    expect(server.given).toHaveLength(1);
    clock.advance(160_000);
    await eventually(async () => (await text()) === server.given[1]);
  });

  it('that its authority gives to its very end is asked for again soon after, and is no storm', async () => {
    server.lifetime(3);
    server.token(() => 'the-same-token');
    learn(client());
    expect(await text()).toBe('the-same-token');
    clock.advance(2_999);
    expect(await text()).toBe('the-same-token');
    expect(server.given).toHaveLength(1);
    let told = 0;
    source.watch?.(() => {
      told += 1;
    });
    clock.advance(2_001);
    await eventually(() => told > 0 && server.given.length === 2);
    expect(await text()).toBe('the-same-token');
  });

  it('serves to its end and no longer while its authority is down', async () => {
    server.lifetime(7200);
    learn(client());
    const one = await text();
    let told = 0;
    source.watch?.(() => {
      told += 1;
    });
    server.act((response) => response.writeHead(503).end());
    clock.advance(7_190_000);
    await eventually(() => outcomes.includes('mint error'));
    expect(await text()).toBe(one);
    expect(problems).toEqual([`mint:${NAME}: it answered with status 503; the last value serves for now`]);
    clock.advance(10_001);
    await eventually(() => told > 0);
    expect(await failure()).toMatch(/unreadable.*503/s);
  });

  it('is not used after its end when the authority hangs', async () => {
    server.lifetime(60);
    learn(client());
    await text();
    server.act(() => undefined);
    clock.advance(60_001);
    expect(await failure()).toMatch(/^timeout/);
  });

  it('is replaced once when an upstream refuses it, and then ever more seldom', async () => {
    server.lifetime(86_400);
    learn(client());
    await text();
    const refusedFor = async (ms: number): Promise<number> => {
      for (let passed = 0; passed < ms; passed += 5_000) {
        clock.advance(5_000);
        source.cached?.refreshSoon([NAME]);
        await text();
      }
      return server.given.length;
    };
    expect(await refusedFor(30_000)).toBe(1);
    await eventually(async () => (await refusedFor(30_000)) === 2);
    expect(await refusedFor(3_600_000)).toBeLessThan(9);
  });

  it('whose block is changed is another key: what the old one gave is not used for it', async () => {
    learn(client({ fields: [['scope', 'read write']] }));
    await text();
    learn(client({ fields: [['scope', 'read']] }));
    expect(await text()).toBe(server.given[1]);
    expect(server.asked[1]?.body).toContain('scope=read');
    learn(client({ fields: [['scope', 'read']] }));
    expect(await text()).toBe(server.given[1]);
  });

  it('is gone at once when what proves who we are is taken away', async () => {
    learn(client());
    await text();
    proof = new SecretSourceError('not_found', 'vault:crm is not there');
    source.cached?.reread([NAME]);
    expect(await failure()).toMatch(/not_found.*mint:keys\/crm: vault:crm is not there/s);
  });

  it.each([
    ['a secret that is refused', /denied.*invalid_client/s, 401, '{"error":"invalid_client"}'],
    ['a scope that is refused', /denied.*invalid_scope/s, 400, '{"error":"invalid_scope","sk-secret":1}'],
    ['a question that is wrong', /unreadable.*400/s, 400, '{"error":"sk-secret"}'],
    ['too many questions', /unreadable.*429/s, 429, 'sk-secret'],
    ['no token endpoint', /damaged.*no JSON/s, 200, '<html>sk-secret'],
    ['no token', /damaged/, 200, '{"sk-secret":"sk-secret"}'],
    ['a token of another type', /damaged.*bearer/s, 200, '{"access_token":"sk-secret","token_type":"DPoP"}'],
    ['a token with a blank', /damaged/, 200, '{"access_token":"sk-secret x","token_type":"Bearer"}'],
    ['too long an answer', /too_large/, 200, `{"access_token":"sk-secret${'x'.repeat(1_100_000)}"}`],
    [
      'a token that ends at once',
      /unreadable.*ended already/s,
      200,
      '{"access_token":"sk-secret","token_type":"Bearer","expires_in":"0"}',
    ],
  ])('is told to operators: %s, and never in the words of the answer', async (_what, words, status, body) => {
    learn(client());
    server.act((response) => response.writeHead(status).end(body));
    const told = (await failure()) + problems.join();
    expect(told).toMatch(words);
    expect(told).not.toContain('sk-secret');
  });

  it.each([
    ['an app that is not known', /denied.*401/s, 401, {}],
    ['an installation that is suspended', /denied.*403/s, 403, {}],
    ['an installation that is gone', /not_found.*404/s, 404, {}],
    ['a permission that it lacks', /denied.*422/s, 422, {}],
    ['too many questions', /unreadable.*fewer/s, 403, { 'x-ratelimit-remaining': '0' }],
    ['GitHub out of order', /unreadable.*502/s, 502, {}],
  ])('of a GitHub App says why it is not there: %s', async (_what, words, status, headers) => {
    proof = server.keys.rsa;
    learn(app());
    server.act((response) => response.writeHead(status, headers).end('{"message":"sk-secret"}'));
    const told = await failure();
    expect(told).toMatch(words);
    expect(told).not.toContain('sk-secret');
  });

  it.each([
    ['none', 'sk-secret', /damaged.*vault:crm is no private key/s],
    ['one of another kind', 'ec', /damaged.*vault:crm is no key that signs RS256/s],
  ])('says so when the private key is %s', async (_what, given, words) => {
    proof = given === 'ec' ? server.keys.ec : given;
    learn(app());
    const told = await failure();
    expect(told).toMatch(words);
    expect(told).not.toMatch(/sk-secret|PRIVATE KEY/);
    expect(server.asked).toEqual([]);
  });

  it('is not asked for where the certificate is not trusted, nor where a redirect leads', async () => {
    learn(client());
    const other = await mintServer();
    server.act((response) => response.writeHead(307, { location: `${other.origin}/token` }).end());
    expect(await failure()).toMatch(/unreadable.*redirects \(307\)/s);
    expect(other.asked).toEqual([]);
    await other.close();
    open({ ca: [] });
    learn(client());
    expect(await failure()).toMatch(/unreadable.*(?:ISSUER|SIGNATURE)/s);
    expect(server.asked).toHaveLength(1);
  });

  it.each([
    ['http', false],
    ['https', true],
  ])('is asked for through the parent proxy (%s), verified end to end', async (_scheme, tls) => {
    const parent = await httpParent({ tls });
    open({ proxy: parent.url });
    learn(client());
    expect(await text()).toBe(server.given[0]);
    expect(parent.asked).toEqual([server.origin.slice('https://'.length)]);
    open({ proxy: parent.url, ca: [] });
    learn(client());
    expect(await failure()).toMatch(/unreadable/);
    expect(server.asked).toHaveLength(1);
    await parent.close();
  });

  it.runIf(hasProgram('microsocks'))(
    'is asked for through a SOCKS5 parent, verified end to end',
    async () => {
      const parent = await socksParent();
      open({ proxy: parent.url });
      learn(client());
      expect(await text()).toBe(server.given[0]);
      open({ proxy: parent.url, ca: [] });
      learn(client());
      expect(await failure()).toMatch(/unreadable.*(?:ISSUER|SIGNATURE)/s);
      expect(server.asked).toHaveLength(1);
      open({ proxy: parent.url });
      learn(client());
      server.act((response) => response.end('x'.repeat(1_100_000)));
      expect(await failure()).toMatch(/too_large/);
      await parent.close();
    },
  );

  it('that nobody speaks of is not asked for', async () => {
    expect(await failure()).toMatch(/not_found/);
    expect(server.asked).toEqual([]);
  });
});
