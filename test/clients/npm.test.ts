/**
 * npm against a registry of our own: a placeholder as `_authToken`, scoped names with their `%2f`, many requests over
 * kept connections, and the words that its user sees of a refusal.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { intercepted, policy, profile, records } from '../helpers/scene.ts';
import { httpUpstream, type SeenRequest, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';
import { describeClient } from './client.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

const REAL = 'npm_0123456789abcdefghijklmnopqrstuvwxyz';
const PLAIN = Array.from({ length: 12 }, (_, index) => `left-${index}`);
const SCOPED = '@corp/tool';

/** A tarball as `npm pack` makes it, by package name. */
function pack(name: string): Buffer {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-npm-'));
  mkdirSync(path.join(folder, 'package'));
  writeFileSync(path.join(folder, 'package/package.json'), JSON.stringify({ name, version: '1.0.0' }));
  const tarball = execFileSync('tar', ['-czf', '-', '-C', folder, 'package']);
  rmSync(folder, { recursive: true });
  return tarball;
}

/** Answers of the registry: packuments at `/name`, tarballs at `/name/-/file.tgz`, anything that is posted. */
function registry(tarballs: ReadonlyMap<string, Buffer>) {
  return ({ method, url, headers }: SeenRequest, response: ServerResponse): void => {
    if (method !== 'GET') return void response.end('{}');
    if (headers.authorization !== `Bearer ${REAL}`) return void response.writeHead(401).end('{}');
    const [name = '', file] = decodeURIComponent(url.slice(1)).split('/-/');
    const tarball = tarballs.get(name);
    if (tarball === undefined) return void response.writeHead(404).end('{}');
    if (file !== undefined) return void response.end(tarball);
    const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
    const dist = { tarball: `https://${headers.host}/${name}/-/it-1.0.0.tgz`, integrity };
    const versions = { '1.0.0': { name, version: '1.0.0', dist } };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ name, 'dist-tags': { latest: '1.0.0' }, versions }));
  };
}

describeClient({ name: 'npm', version: 'npm --version' }, 'npm', () => {
  let web: Upstream;
  let world: World;
  let sandbox: Sandbox;
  let at = '';

  beforeAll(async () => {
    const tarballs = new Map([...PLAIN, SCOPED].map((name) => [name, pack(name)]));
    web = await httpUpstream({ name: 'registry.test', answer: registry(tarballs) });
    at = `registry.test:${web.port}`;
    world = await makeWorld({
      policies: {
        // Path rules, so that `%2f` is judged as well as sent.
        'agents.yaml': policy([`deny: "${at}", paths: ["/blocked"]`, intercepted(at, 'paths: ["/**"]')], {
          more: 'profile: keys\n',
        }),
        'profiles/keys.yaml': profile([{ env: 'NPM_TOKEN', from: 'env:REAL', hosts: [at] }]),
      },
      hosts: { 'registry.test': ['127.0.0.1'] },
      env: { REAL },
    });
    sandbox = await makeSandbox(world);
    const npmrc = [
      `registry=https://${at}/`,
      `//${at}/:_authToken=$\{NPM_TOKEN}`,
      'update-notifier=false',
      'fetch-retries=0',
    ];
    writeFileSync(path.join(sandbox.home, '.npmrc'), `${npmrc.join('\n')}\n`);
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  it('installs many packages over few connections, a scoped one by its %2f', async () => {
    const ran = await sandbox.run(
      `mkdir app\ncd app\necho '{}' > package.json\nnpm install ${PLAIN.join(' ')} ${SCOPED}`,
    );
    expect(ran.status, ran.stderr).toBe(0);
    const installed: unknown = JSON.parse(
      readFileSync(path.join(sandbox.home, 'app/node_modules/@corp/tool/package.json'), 'utf8'),
    );
    expect(installed).toEqual({ name: SCOPED, version: '1.0.0' });
    expect(web.seen.map(({ url }) => url)).toContain('/@corp%2ftool');
    const asked = await records(world, { kind: 'decision', stage: 'request', host: 'registry.test' });
    const connected = await records(world, { kind: 'decision', stage: 'connect', host: 'registry.test' });
    expect(asked.length).toBeGreaterThanOrEqual(2 * (PLAIN.length + 1));
    // npm holds up to 15 connections open at once.
    expect(connected.length).toBeLessThanOrEqual(15);
    expect(ran.stdout + ran.stderr).not.toContain(REAL);
  });

  it('publishes with its placeholder', async () => {
    const ran = await sandbox.run(
      `mkdir mine\ncd mine\necho '{"name":"@corp/mine","version":"1.0.0"}' > package.json\nnpm publish`,
    );
    expect(ran.status, ran.stderr).toBe(0);
    const put = web.seen.find(({ method }) => method === 'PUT');
    expect(put?.url).toBe('/@corp%2fmine');
    expect(put?.headers.authorization).toBe(`Bearer ${REAL}`);
    expect(JSON.parse(put?.body.toString() ?? '')).toMatchObject({ name: '@corp/mine' });
  });

  it('shows the reason of a refused registry and of a refused package', async () => {
    const elsewhere = await sandbox.run('npm view left-0 --registry https://evil.test/');
    expect(elsewhere.status).not.toBe(0);
    expect(elsewhere.stderr).toMatch(/host_not_allowed/);
    const inside = await sandbox.run('npm view blocked');
    expect(inside.status).not.toBe(0);
    expect(inside.stderr).toContain(`sallyport: rule_denied: ${at}`);
  });
});
