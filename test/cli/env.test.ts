import { once } from 'node:events';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { kvServer } from '../helpers/kv-server.ts';
import { AGENTS, type Installation, installation } from './main-harness.ts';

const PROFILE = `version: 1
profile: openclaw
secrets:
  - env: OPENAI_API_KEY
    from: env:REAL_OPENAI
    hosts: [api.openai.com]
  - env: EMAIL_API_KEY
    from: env:REAL_EMAIL
    hosts: [api.openai.com]
`;
const kvProfile = PROFILE.replace('env:REAL_OPENAI', 'kv:secret/openai#key');
const KEY = `sk-proj-${'R'.repeat(40)}`;
const ENV = { REAL_OPENAI: KEY };

let home: Installation;
beforeEach(async () => {
  home = installation({
    policies: {
      'agents.yaml': `${AGENTS}profile: openclaw\nexclude: [EMAIL_API_KEY]\n`,
      'others.yaml': AGENTS.replace('ai-agents', 'others').replace('172.25', '172.26'),
      'profiles/openclaw.yaml': PROFILE,
    },
  });
  expect((await home.run(['init'])).status).toBe(0);
});
afterEach(() => home.remove());

async function env(args: readonly string[], more: { stdin?: string } = {}): Promise<Record<string, string>> {
  const all = ['env', '--group', 'ai-agents', '--format', 'json', ...args];
  const { out, err, status } = await home.run(all, { env: ENV, ...more });
  expect({ status, err }).toEqual({ status: 0, err: '' });
  return JSON.parse(out) as Record<string, string>;
}

async function tokenOf(group: string): Promise<{ id: string; token: string }> {
  const { out } = await home.run(['token', 'create', '--group', group, '--json']);
  return JSON.parse(out) as { id: string; token: string };
}

describe('env', () => {
  it('takes --json for --format json, and not beside --format', async () => {
    const ask = ['env', '--group', 'ai-agents', '--json'];
    const { out, status } = await home.run(ask, { env: ENV });
    expect(status).toBe(0);
    expect(JSON.parse(out)).toEqual(await env([]));
    expect((await home.run([...ask, '--format', 'docker'], { env: ENV })).status).toBe(2);
  });

  it('prints proxy, trust and one placeholder per usable key, never a key', async () => {
    const variables = await env([]);
    expect(variables).toMatchObject({
      HTTPS_PROXY: 'http://127.0.0.1:8080',
      http_proxy: 'http://127.0.0.1:8080',
      NODE_EXTRA_CA_CERTS: '/etc/sallyport/ca.crt',
    });
    expect(variables['OPENAI_API_KEY']).toMatch(/^sk-proj-/);
    expect(variables['OPENAI_API_KEY']).toHaveLength(KEY.length);
    expect(variables).not.toHaveProperty('EMAIL_API_KEY');
    expect(JSON.stringify(variables)).not.toContain(KEY);
  });

  it('prints the same each time, and another placeholder for another identity', async () => {
    const first = await env([]);
    expect(await env([])).toEqual(first);
    const { token } = await tokenOf('ai-agents');
    const withToken = await env(['--token-stdin'], { stdin: `${token}\n` });
    expect(withToken['OPENAI_API_KEY']).not.toBe(first['OPENAI_API_KEY']);
    expect(withToken['HTTPS_PROXY']).toBe(`http://ai-agents:${token}@127.0.0.1:8080`);
  });

  it('prints the placeholder of a minted key without asking the authority for one', async () => {
    let asked = 0;
    const authority = createServer((socket) => {
      asked += 1;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(authority, 'listening');
    const address = authority.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const app = `mint:\n  app: { kind: client_credentials, client_id: x, client_secret: "env:REAL_OPENAI", token_url: "https://127.0.0.1:${port}/token" }\n`;
    const minted = PROFILE.replace('env:REAL_OPENAI', 'mint:app').replace('secrets:', `${app}secrets:`);
    writeFileSync(join(home.dir, 'policies', 'profiles', 'openclaw.yaml'), minted);
    expect((await env([]))['OPENAI_API_KEY']).toMatch(/^[A-Za-z0-9]{40}$/);
    expect(asked).toBe(0);
    authority.close();
  });

  it('verifies servers that keys come from as the proxy does, by tls.extra_ca as well', async () => {
    const server = await kvServer();
    const notes: string[] = [];
    try {
      server.put('secret/openai', { key: KEY });
      writeFileSync(join(home.dir, 'policies', 'profiles', 'openclaw.yaml'), kvProfile);
      const own = { ...ENV, ...server.env, VAULT_TOKEN: server.issue(0) };
      const printed = async (): Promise<Record<string, string>> => {
        const { out, err } = await home.run(['env', '--group', 'ai-agents', '--json'], { env: own });
        notes.push(err);
        return JSON.parse(out) as Record<string, string>;
      };
      // A key that cannot be read has the shape of one that nobody saw.
      expect((await printed())['OPENAI_API_KEY']).toHaveLength(40);
      writeFileSync(join(home.dir, 'own.pem'), server.ca.join('\n'));
      writeFileSync(join(home.dir, 'sallyport.yaml'), 'tls: { extra_ca: [own.pem] }\n');
      expect((await printed())['OPENAI_API_KEY']).toMatch(/^sk-proj-/);
      expect(notes).toEqual([expect.stringContaining('note: OPENAI_API_KEY has no value now: kv:'), '']);
      writeFileSync(join(home.dir, 'own.pem'), 'no certificate');
      expect(await home.run(['env', '--group', 'ai-agents'], { env: own })).toMatchObject({ status: 1 });
    } finally {
      await server.close();
    }
  });

  it('evaluates as shell lines by default, with the mark of this CA in them', async () => {
    const { out } = await home.run(['env', '--group', 'ai-agents'], { env: ENV });
    expect(out).toContain("export HTTPS_PROXY='http://127.0.0.1:8080';");
    const mark = /^sallyport_mark='(.{64})';$/m.exec(out)?.[1] ?? 'none';
    expect(readFileSync(join(home.dir, 'certs', 'ca.pem'), 'utf8')).toContain(mark);
  });

  it.each([
    ['http://sallyport:8080', 'http://sallyport:8080'],
    ['http://sallyport:8080/', 'http://sallyport:8080'],
    ['http://sallyport', 'http://sallyport:80'],
    ['http://[fd00::1]:3128', 'http://[fd00::1]:3128'],
  ])('takes --proxy %s', async (given, printed) => {
    expect((await env(['--proxy', given]))['HTTPS_PROXY']).toBe(printed);
  });

  it.each([
    'sallyport:8080',
    'https://sallyport:8080',
    'http://',
    'http://a:b@c:1',
    'http://a:1/x',
    'http://a:1?x',
  ])('takes --proxy %s for wrong use', async (given) => {
    expect((await home.run(['env', '--group', 'ai-agents', '--proxy', given])).status).toBe(2);
  });

  it('assumes the name sallyport where the proxy listens everywhere, and says so', async () => {
    const more = { env: { ...ENV, SALLYPORT_PROXY_LISTEN: '0.0.0.0:3128' } };
    const { out, err } = await home.run(['env', '--group', 'ai-agents', '--format', 'docker'], more);
    expect(out).toContain('HTTPS_PROXY=http://sallyport:3128\n');
    expect(err).toContain('--proxy');
  });

  it.each([
    ['nothing', () => Promise.resolve('')],
    ['a made-up token', () => Promise.resolve(`sp_tok_${'a'.repeat(16)}_${'b'.repeat(43)}\n`)],
    ['a token of another group', async () => (await tokenOf('others')).token],
    [
      'a revoked token',
      async () => {
        const { id, token } = await tokenOf('ai-agents');
        await home.run(['token', 'revoke', id]);
        return token;
      },
    ],
  ])('refuses %s on standard input', async (_what, make) => {
    const stdin = await make();
    const all = ['env', '--group', 'ai-agents', '--token-stdin'];
    const { status, out, err } = await home.run(all, { stdin, env: ENV });
    expect({ status, out }).toEqual({ status: 1, out: '' });
    if (stdin !== '') expect(err).not.toContain(stdin.trim());
  });

  it('names init when the installation is not complete', async () => {
    rmSync(join(home.dir, '.sallyport', 'placeholder.key'));
    const { status, err } = await home.run(['env', '--group', 'ai-agents'], { env: ENV });
    expect(status).toBe(1);
    expect(err).toContain('sallyport init');
  });

  it('does not use a placeholder key that others can read', async () => {
    chmodSync(join(home.dir, '.sallyport', 'placeholder.key'), 0o644);
    expect((await home.run(['env', '--group', 'ai-agents'], { env: ENV })).status).toBe(1);
  });

  it('says which group there is none of', async () => {
    const { status, err } = await home.run(['env', '--group', 'nobody']);
    expect(status).toBe(1);
    expect(err).toContain('ai-agents, others');
  });

  it('is as strict about the settings as every command', async () => {
    writeFileSync(join(home.dir, 'sallyport.yaml'), 'proxi: {}\n');
    expect((await home.run(['env', '--group', 'ai-agents'])).status).toBe(1);
  });
});
