/**
 * git over HTTPS with nothing but what `/env` prints: a clone and a push with a placeholder as the password in Basic,
 * from git's own smart-HTTP server behind real TLS, which knows the real token only.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { intercepted, policy, profile, records } from '../helpers/scene.ts';
import { makeWorld, upstreamContext, type World } from '../helpers/world.ts';
import { describeClient } from './client.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

const REAL = 'ghp_0123456789abcdefghijklmnopqrstuvwxyz';
const BRANCHES = 30;
const IDENTITY = '-c user.name=t -c user.email=t@t.test';

/** Serves `root` by `git http-backend` to whoever has the real token; notes how requests were encoded. */
function gitServer(root: string, encodings: Set<string>): https.Server {
  const wanted = `Basic ${Buffer.from(`agent:${REAL}`).toString('base64')}`;
  const context = upstreamContext('git.test');
  return https.createServer({ SNICallback: (_name, done) => done(null, context) }, (request, response) => {
    if (request.headers.authorization !== wanted) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
      return;
    }
    const url = new URL(request.url ?? '/', 'https://git.test');
    encodings.add(request.headers['content-encoding'] ?? 'identity');
    const child = spawn('git', ['http-backend'], {
      env: {
        PATH: process.env['PATH'] ?? '',
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        REMOTE_USER: 'agent',
        REQUEST_METHOD: request.method ?? '',
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    request.pipe(child.stdin);
    const parts: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => parts.push(bytes));
    child.on('close', () => {
      const all = Buffer.concat(parts);
      const end = all.indexOf('\r\n\r\n');
      const fields = all.subarray(0, end).toString('latin1').split('\r\n');
      const status = fields.find((field) => field.startsWith('Status: '));
      response.statusCode = status === undefined ? 200 : Number(status.slice(8, 11));
      for (const field of fields) {
        const colon = field.indexOf(':');
        if (!field.startsWith('Status'))
          response.setHeader(field.slice(0, colon), field.slice(colon + 1).trim());
      }
      response.end(all.subarray(end + 4));
    });
  });
}

describeClient({ name: 'git', version: 'git --version' }, 'git', () => {
  let world: World;
  let server: https.Server;
  let sandbox: Sandbox;
  let at = '';
  let folder = '';
  /** in which its requests came */
  const encodings = new Set<string>();

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-git-'));
    const root = path.join(folder, 'repositories');
    const seed = path.join(folder, 'seed');
    mkdirSync(root);
    const git = (...args: string[]): void => void execFileSync('git', args, { stdio: 'ignore' });
    git('init', '-q', '-b', 'main', seed);
    git('-C', seed, ...IDENTITY.split(' '), 'commit', '-q', '--allow-empty', '-m', 'first words');
    git('clone', '-q', '--bare', seed, path.join(root, 'app.git'));
    // A clone names the tip of each branch that it wants: more than 1 KiB of that goes as gzip.
    for (let turn = 0; turn < BRANCHES; turn += 1) {
      git('-C', seed, ...IDENTITY.split(' '), 'commit', '-q', '--allow-empty', '-m', `${turn}`);
      git('-C', seed, 'branch', `b${turn}`);
    }
    git('clone', '-q', '--bare', seed, path.join(root, 'many.git'));
    git('-C', path.join(root, 'app.git'), 'config', 'http.receivepack', 'true');
    server = gitServer(root, encodings);
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const bound = server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : 0);
      });
    });
    at = `git.test:${port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { sources: '127.0.0.1/32', more: 'profile: keys\n' }),
        // No source: its token alone tells who it is.
        'builders.yaml': policy([intercepted(at)], {
          group: 'builders',
          sources: '',
          more: 'profile: keys\n',
        }),
        'profiles/keys.yaml': profile([{ env: 'GIT_TOKEN', from: 'env:REAL', hosts: [at], in: ['basic'] }]),
      },
      hosts: { 'git.test': ['127.0.0.1'] },
      env: { REAL },
    });
    sandbox = await makeSandbox(world);
  });
  afterAll(async () => {
    await world.stop();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('clones and pushes with a placeholder as its password', async () => {
    const ran = await sandbox.run(
      `git clone -q https://agent:$GIT_TOKEN@${at}/app.git work\ncd work\ngit log --format=%s\n` +
        `git ${IDENTITY} commit -q --allow-empty -m second\ngit push -q origin main\ngit ls-remote origin main`,
    );
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toContain('first words');
    expect(ran.stdout).toMatch(/[0-9a-f]{40}\trefs\/heads\/main/);
    expect(ran.stdout + ran.stderr).not.toContain(REAL);
    const swapped = await records(world, { kind: 'decision', stage: 'request', verdict: 'allow' });
    expect(swapped.some((one) => JSON.stringify(one['keys']) === '["GIT_TOKEN"]')).toBe(true);
  });

  it('clones many branches, by a request so long that git packs it', async () => {
    const ran = await sandbox.run(
      `git clone -q https://agent:$GIT_TOKEN@${at}/many.git many\ngit -C many branch -r | wc -l`,
    );
    expect(ran.status, ran.stderr).toBe(0);
    expect(Number(ran.stdout)).toBeGreaterThan(BRANCHES);
    expect([...encodings]).toContain('gzip');
  });

  it('with a token of a group other than its address’s is that group from its first request', async () => {
    const { token } = world.proxy.parts.tokens.create({ group: 'builders' });
    const ran = await sandbox.run(`git ls-remote https://agent:$GIT_TOKEN@${at}/app.git main`, { token });
    expect(ran.status, ran.stderr).toBe(0);
    expect(
      await records(world, { kind: 'decision', group: 'builders', stage: 'request', verdict: 'allow' }),
    ).not.toHaveLength(0);
  });

  it('is told why another host is refused', async () => {
    const ran = await sandbox.run('git clone -q https://evil.test/app.git other');
    expect(ran.status).toBe(128);
    expect(ran.stderr).toMatch(/403/);
  });
});
