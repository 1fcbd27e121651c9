/** Keys that an authority makes, in a running proxy: asked for by itself, replaced, refused, and never shown. */
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openVault } from '../../src/vault/sealed.ts';
import { type MintServer, mintServer } from '../helpers/mint-server.ts';
import { intercepted, metric, placeholderIn, policy } from '../helpers/scene.ts';
import { askOnce, connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

describe('a minted key', () => {
  let authority: MintServer;
  let upstream: Upstream;
  let world: World;
  let client: Talk;
  let clock = movableClock();
  /** tokens that the upstream takes no more */
  let refused: string[] = [];

  const at = (): string => `api.test:${upstream.port}`;
  const profileOf = (more: string): string =>
    `version: 1\nprofile: keys\nmint:\n${more}secrets:\n  - { env: API_TOKEN, from: "mint:api", hosts: ["${at()}"] }\n`;
  const byClient = (): string =>
    `  api: { kind: client_credentials, token_url: "${authority.origin}/token", client_id: "${authority.client.id}", client_secret: "vault:crm" }\n`;
  const byApp = (): string =>
    `  api: { kind: github_app, app_id: 12345, installation_id: 678, key: "file:app.pem", api_url: "${authority.origin}" }\n`;

  const start = async (block: string): Promise<void> => {
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at())], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profileOf(block),
      },
      hosts: { 'api.test': ['127.0.0.1'] },
      files: { 'app.pem': authority.keys.rsa },
      clock,
    });
    client = await connectTls(world.port, at(), { ca: world.caPem });
  };
  const vault = () => openVault({ dir: path.join(world.dir, '.sallyport') });
  const ask = (value: string) =>
    client.ask(`GET /echo HTTP/1.1\r\nHost: ${at()}\r\nAuthorization: Bearer ${value}\r\n\r\n`);
  const learned = async (): Promise<string> => {
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    return placeholderIn(env.json(), 'API_TOKEN');
  };
  const arrived = () => upstream.seen.at(-1)?.headers.authorization;

  beforeEach(async () => {
    clock = movableClock();
    refused = [];
    authority = await mintServer(() => clock.now());
    upstream = await httpUpstream({
      name: 'api.test',
      answer: (request, response) => {
        const { authorization = '' } = request.headers;
        const known = !refused.some((token) => authorization.includes(token));
        response.writeHead(known ? 200 : 401, { 'content-type': 'text/plain' }).end(`you: ${authorization}`);
      },
    });
  });
  afterEach(async () => {
    client.destroy();
    await world.stop();
    await Promise.all([upstream.close(), authority.close()]);
  });

  it('of a GitHub App is asked for by the proxy, looks the part, and goes to its host alone', async () => {
    await start(byApp());
    const held = await learned();
    expect(held).toMatch(/^ghs_[A-Za-z0-9]{36}$/);
    const answer = await ask(held);
    expect(answer.status).toBe(200);
    const [token = ''] = authority.given;
    expect(arrived()).toBe(`Bearer ${token}`);
    expect(answer.body.toString()).toBe(`you: Bearer ${held}`);
    expect((await ask(token)).json()).toMatchObject({ reason: 'secret_leak' });
    const told = world.log() + JSON.stringify(await world.audit()) + (await world.metrics());
    const jwt = authority.asked[0]?.headers.authorization?.slice('Bearer '.length) ?? '';
    for (const secret of [token, jwt, 'PRIVATE KEY']) expect(told).not.toContain(secret);
    expect(await metric(world, 'sallyport_secret_fetch_total{source="mint",outcome="ok"}')).toBe(1);
    const tokenUrl = authority.origin.slice('https://'.length);
    const tunnel = await askOnce(world.port, `CONNECT ${tokenUrl} HTTP/1.1\r\nHost: ${tokenUrl}\r\n\r\n`);
    expect(tunnel.status).toBe(403);
  });

  it('is replaced before it ends under the same placeholder, on the same connection', async () => {
    await start(byApp());
    const held = await learned();
    expect((await ask(held)).status).toBe(200);
    clock.advance(3_301_000);
    await eventually(
      async () => (await ask(held)).status === 200 && arrived() === `Bearer ${authority.given[1]}`,
    );
    expect(await learned()).toBe(held);
    for (const token of authority.given) {
      expect((await ask(token)).json()).toMatchObject({ reason: 'secret_leak' });
    }
  });

  it('that was revoked is asked for anew after a 401, though not at every one', async () => {
    await start(byApp());
    const held = await learned();
    await ask(held);
    refused = [...authority.given];
    for (let times = 0; times < 20; times += 1) expect((await ask(held)).status).toBe(401);
    expect(authority.given).toHaveLength(1);
    clock.advance(60_000);
    await eventually(async () => (await ask(held)).status === 200);
    expect(authority.given).toHaveLength(2);
  });

  it('waits for the secret that proves who the proxy is, follows it, and is gone with it', async () => {
    await start(byClient());
    const held = await learned();
    expect((await ask(held)).json()).toMatchObject({ status: 503, reason: 'secret_unavailable' });
    expect(authority.asked).toEqual([]);
    const { secret } = authority.client;
    await vault().set('crm', Buffer.from(secret));
    await eventually(async () => (await ask(held)).status === 200);
    expect(arrived()).toBe(`Bearer ${authority.given[0]}`);
    expect((await ask(encodeURIComponent(secret))).json()).toMatchObject({ reason: 'secret_leak' });
    authority.secret('another-secret-0123');
    await vault().rotate('crm', Buffer.from('another-secret-0123'));
    await eventually(async () => (await ask(held)).status === 200 && authority.given.length === 2);
    await vault().rm('crm');
    await eventually(async () => (await ask(held)).status === 503);
    expect((await ask(held)).json()).toMatchObject({ reason: 'secret_unavailable' });
    expect(JSON.stringify(await world.audit())).not.toContain(secret);
  });

  it('follows its block when the policy is reloaded', async () => {
    await start(byApp());
    const held = await learned();
    await ask(held);
    world.setPolicy(
      'profiles/keys.yaml',
      profileOf(byApp().replace('app_id', 'permissions: { issues: read }, app_id')),
    );
    await eventually(
      async () => (await ask(held)).status === 200 && arrived() === `Bearer ${authority.given[1]}`,
    );
    expect(JSON.parse(authority.asked[1]?.body ?? '')).toEqual({ permissions: { issues: 'read' } });
    expect(authority.given).toHaveLength(2);
  });
});
