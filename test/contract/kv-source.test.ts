/** What `kv:` promises beyond the cases of all sources, against a double of the servers' published API. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { CacheLimits } from '../../src/vault/cached.ts';
import { apiPath, createKvSource } from '../../src/vault/kv.ts';
import { type SecretSource, SecretSourceError } from '../../src/vault/source.ts';
import { type KvServer, kvServer } from '../helpers/kv-server.ts';
import { eventually } from '../helpers/world.ts';

const EAGER = { ttlMs: 0, failureTtlMs: 0, patienceMs: 10_000 };

describe('HashiCorp Vault or OpenBao', () => {
  let server: KvServer;
  let source: SecretSource;
  let dir = '';
  let problems: string[] = [];

  const open = (
    env: Record<string, string>,
    more: { limits?: Partial<CacheLimits>; ca?: string[] } = {},
  ): void => {
    source?.close?.();
    source = createKvSource({
      env: { ...server.env, ...env },
      ca: more.ca ?? server.ca,
      clock: systemClock,
      limits: { ...EAGER, ...more.limits },
      onProblem: (message) => problems.push(message),
    });
  };
  const textOf = async (name: string) => (await source.get(name)).expose().toString();
  const failure = (name: string) =>
    source.get(name).then(
      () => 'no error',
      (error: unknown) =>
        `${error instanceof SecretSourceError ? error.code : ''} ${inspect(error, { depth: 9 })}`,
    );
  const asked = (path: string) => server.asked.filter((one) => one.path === path).length;
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text, { mode: 0o600 });
    return join(dir, name);
  };

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-kv-'));
    problems = [];
    server = await kvServer();
    server.put('secret/openai', { key: 'value-one', id: 7 });
  });
  afterEach(async () => {
    source.close?.();
    await server.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('is asked with token, namespace and its own header, once for all fields of a path', async () => {
    server.put('secret/openai', { key: 'value-one', org: 'value-org' });
    const token = server.issue(0);
    open({ VAULT_TOKEN: token, VAULT_NAMESPACE: 'team/a' }, { limits: { ttlMs: 60_000 } });
    const both = [textOf('secret/openai#key'), textOf('secret/openai#org')];
    expect(await Promise.all(both)).toEqual(['value-one', 'value-org']);
    expect(asked('/v1/secret/data/openai')).toBe(1);
    expect(server.asked.find((one) => one.path === '/v1/secret/data/openai')?.headers).toMatchObject({
      'x-vault-token': token,
      'x-vault-namespace': 'team/a',
      'x-vault-request': 'true',
    });
    expect(source.changedAt?.('secret/openai#key')).toBeGreaterThan(Date.now() - 60_000);
  });

  it('is found by the variables of OpenBao first', async () => {
    open({
      BAO_ADDR: server.env['VAULT_ADDR'] ?? '',
      VAULT_ADDR: 'https://127.0.0.1:1',
      BAO_TOKEN: server.issue(0),
      VAULT_TOKEN: 'hvs.unknown',
    });
    expect(await textOf('secret/openai#key')).toBe('value-one');
  });

  it('takes the token out of a file, and the next one when the file changes', async () => {
    const [first, second] = [server.issue(0), server.issue(0)];
    open({ VAULT_TOKEN_FILE: file('token', `${first}\n`) });
    expect(await textOf('secret/openai#key')).toBe('value-one');
    server.revoke(first);
    file('token', `${second}\n`);
    expect(await textOf('secret/openai#key')).toBe('value-one');
  });

  it('logs in by AppRole, and again when its token is gone', async () => {
    server.role({ roleId: 'role-1', secretId: 'secret-1', ttl: 3600 });
    open({ VAULT_ROLE_ID: 'role-1', VAULT_SECRET_ID_FILE: file('secret', 'secret-1\n') });
    expect(await textOf('secret/openai#key')).toBe('value-one');
    expect(await textOf('secret/openai#key')).toBe('value-one');
    expect(asked('/v1/auth/approle/login')).toBe(1);
    server.revoke(String(server.asked.at(-1)?.headers['x-vault-token']));
    expect(await textOf('secret/openai#key')).toBe('value-one');
    expect(asked('/v1/auth/approle/login')).toBe(2);
  });

  it('keeps a token that is good where a path is forbidden: its secret id may serve but once', async () => {
    server.role({ roleId: 'role-1', secretId: 'secret-1', uses: 1, ttl: 3600 });
    server.put('secret/other', { key: 'x' });
    server.forbid('secret/other');
    open({ VAULT_ROLE_ID: 'role-1', VAULT_SECRET_ID: 'secret-1' });
    expect(await textOf('secret/openai#key')).toBe('value-one');
    expect(await failure('secret/other#key')).toMatch(/denied.*403/s);
    expect(await textOf('secret/openai#key')).toBe('value-one');
    expect(asked('/v1/auth/approle/login')).toBe(1);
  });

  it('renews the token before its lease ends, so that one login lasts', async () => {
    server.role({ roleId: 'role-1', secretId: 'secret-1', uses: 1, ttl: 3 });
    open({ VAULT_ROLE_ID: 'role-1', VAULT_SECRET_ID: 'secret-1' });
    expect(await textOf('secret/openai#key')).toBe('value-one');
    await eventually(() => asked('/v1/auth/token/renew-self') >= 2);
    expect(await textOf('secret/openai#key')).toBe('value-one');
    expect(asked('/v1/auth/approle/login')).toBe(1);
  });

  it("renews an operator's token, too, and says so when that cannot be done", async () => {
    open({ VAULT_TOKEN: server.issue(3) });
    expect(await textOf('secret/openai#key')).toBe('value-one');
    await eventually(() => asked('/v1/auth/token/renew-self') >= 1);
    open({ VAULT_TOKEN: server.issue(60, false) });
    expect(await textOf('secret/openai#key')).toBe('value-one');
    await eventually(() => problems.some((text) => /cannot be renewed and ends in 60 s/.test(text)));
  });

  it.each([
    ['a path that is not there', 'secret/none#key', /not_found/],
    ['a field that is not there', 'secret/openai#none', /not_found/],
    ['a field that is no text', 'secret/openai#id', /damaged.*no text/s],
    ['an unknown token', 'secret/openai#key', /denied.*403/s, { VAULT_TOKEN: 'hvs.unknown' }],
    [
      'a role that it does not know',
      'secret/openai#key',
      /denied.*400/s,
      { VAULT_ROLE_ID: 'x', VAULT_SECRET_ID: 'y' },
    ],
    ['no login', 'secret/openai#key', /VAULT_TOKEN/, { VAULT_TOKEN: '' }],
    ['no address', 'secret/openai#key', /VAULT_ADDR or BAO_ADDR/, { VAULT_ADDR: '' }],
    ['an address in the clear', 'secret/openai#key', /https/, { VAULT_ADDR: 'http://vault.test:8200' }],
    [
      'a token file that is not there',
      'secret/openai#key',
      /VAULT_TOKEN_FILE/,
      { VAULT_TOKEN: '', VAULT_TOKEN_FILE: '/none' },
    ],
    [
      'authorities that are none',
      'secret/openai#key',
      /unreadable/,
      { VAULT_CACERT: new URL(import.meta.url).pathname, VAULT_ADDR: 'https://127.0.0.1:1' },
    ],
    ['nobody who listens', 'secret/openai#key', /ECONNREFUSED/, { VAULT_ADDR: 'https://127.0.0.1:1' }],
    [
      'another name in its certificate',
      'secret/openai#key',
      /ERR_TLS_CERT_ALTNAME_INVALID/,
      { VAULT_TLS_SERVER_NAME: 'x.test' },
    ],
  ])('fails with words for %s', async (_what, name, words, env: Record<string, string> = {}) => {
    open({ VAULT_TOKEN: server.issue(0), ...env });
    expect(await failure(name)).toMatch(words);
  });

  it.each([
    ['sealed', /sealed/, 503, {}, '{}'],
    ['out of order', /status 500/, 500, {}, 'sk-secret'],
    ['on standby', /redirects \(307\)/, 307, { location: 'https://127.0.0.1:1/v1/secret/data/openai' }, ''],
    ['no Vault', /damaged/, 200, {}, '<html>sk-secret'],
    ['of KV version 1', /damaged/, 200, {}, '{"data":{"key":"sk-secret"}}'],
    ['too talkative', /too_large/, 200, {}, `{"data":"sk-secret${'x'.repeat(1_100_000)}"}`],
  ])('is told when the server is %s, and never in its words', async (_what, words, status, headers, body) => {
    open({ VAULT_TOKEN: server.issue(0) });
    server.act((response) => response.writeHead(status, headers).end(body));
    const text = (await failure('secret/openai#key')) + problems.join();
    expect(text).toMatch(words);
    expect(text).not.toContain('sk-secret');
  });

  it('is not believed without a certificate that is trusted', async () => {
    open({ VAULT_TOKEN: server.issue(0) }, { ca: [] });
    expect(await failure('secret/openai#key')).toMatch(/unreadable.*(?:ISSUER|SIGNATURE)/s);
    expect(server.asked).toEqual([]);
    open({ VAULT_TOKEN: server.issue(0), VAULT_CACERT: file('ca.pem', server.ca.join('\n')) }, { ca: [] });
    expect(await textOf('secret/openai#key')).toBe('value-one');
  });

  it.each([
    ['secret/openai', '/secret/data/openai'],
    ['secret/team/openai', '/secret/data/team/openai'],
    ['secret/data/openai', '/secret/data/openai'],
    ['team/kv/data/openai', '/team/kv/data/openai'],
    ['secret/data', '/secret/data/data'],
    ['/secret/a b?c%2f#/', '/secret/data/a%20b%3Fc%252f%23'],
  ])('reads %s at %s', (path, at) => {
    expect(apiPath(path)).toBe(at);
  });

  it.each(['secret', '', 'secret//openai', 'secret/../sys/seal', 'secret/./x'])(
    'does not read %j',
    (path) => {
      expect(() => apiPath(path)).toThrow(/MOUNT\/PATH/);
    },
  );
});
