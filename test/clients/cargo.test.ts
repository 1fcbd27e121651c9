/** cargo against a sparse registry of our own: a crate is fetched and built, the token is swapped, a refusal is told. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { intercepted, policy, profile } from '../helpers/scene.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';
import { describeClient } from './client.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

const REAL = 'cio0123456789abcdefghijklmnopqrstuvwxyz';
const CARGO_TOML = '[package]\nname = "demo"\nversion = "1.0.0"\nedition = "2021"\n';

function crate(): Buffer {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-crate-'));
  const root = path.join(folder, 'demo-1.0.0');
  mkdirSync(path.join(root, 'src'), { recursive: true });
  writeFileSync(path.join(root, 'Cargo.toml'), CARGO_TOML);
  writeFileSync(path.join(root, 'src/lib.rs'), 'pub fn word() -> &\'static str { "demo works" }\n');
  const bytes = execFileSync('tar', ['-czf', '-', '-C', folder, 'demo-1.0.0']);
  rmSync(folder, { recursive: true });
  return bytes;
}

describeClient({ name: 'cargo', version: 'cargo --version' }, 'cargo', () => {
  let web: Upstream;
  let world: World;
  let sandbox: Sandbox;
  let at = '';

  beforeAll(async () => {
    const bytes = crate();
    const cksum = createHash('sha256').update(bytes).digest('hex');
    const index = { name: 'demo', vers: '1.0.0', deps: [], cksum, features: {}, yanked: false };
    web = await httpUpstream({
      name: 'crates.test',
      answer: ({ url }, response) => {
        const pages: Readonly<Record<string, string | Buffer>> = {
          '/index/config.json': JSON.stringify({ dl: `https://${at}/dl`, api: `https://${at}` }),
          '/index/de/mo/demo': `${JSON.stringify(index)}\n`,
          '/dl/demo/1.0.0/download': bytes,
          '/api/v1/crates/demo/owners': JSON.stringify({ users: [{ id: 1, login: 'ann', name: 'Ann' }] }),
        };
        const page = pages[url];
        if (page === undefined) response.writeHead(404).end();
        else response.end(page);
      },
    });
    at = `crates.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([
          { env: 'CARGO_REGISTRIES_CORP_TOKEN', from: 'env:REAL', hosts: [at], in: ['header'] },
        ]),
      },
      hosts: { 'crates.test': ['127.0.0.1'] },
      env: { REAL },
    });
    sandbox = await makeSandbox(world);
    for (const [folder, host] of [
      ['app', at],
      ['other', 'evil.test'],
    ] as const) {
      const root = path.join(sandbox.home, folder);
      mkdirSync(path.join(root, 'src'), { recursive: true });
      mkdirSync(path.join(root, '.cargo'));
      const corp = `[registries.corp]\nindex = "sparse+https://${host}/index/"\n[net]\nretry = 0\n`;
      writeFileSync(path.join(root, '.cargo/config.toml'), corp);
      const needs = '[dependencies]\ndemo = { version = "1", registry = "corp" }\n';
      writeFileSync(path.join(root, 'Cargo.toml'), `${CARGO_TOML.replace('demo', 'app')}${needs}`);
      writeFileSync(path.join(root, 'src/main.rs'), 'fn main() { println!("{}", demo::word()); }\n');
    }
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  // Debian's cargo knows sparse registries as an unstable feature.
  const cargo = (folder: string, command: string): string =>
    `cd ${folder}\nRUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_SPARSE_REGISTRY=true cargo ${command}`;

  it('fetches a crate from a sparse registry', async () => {
    const ran = await sandbox.run(cargo('app', 'fetch'));
    expect(ran.status, ran.stderr).toBe(0);
    expect(web.seen.map(({ url }) => url)).toEqual([
      '/index/config.json',
      '/index/de/mo/demo',
      '/dl/demo/1.0.0/download',
    ]);
  });

  it('asks the registry with a placeholder, which arrives as the real token', async () => {
    const ran = await sandbox.run(cargo('app', 'owner --list --registry corp demo'));
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toContain('ann');
    const asked = web.seen.find(({ url }) => url === '/api/v1/crates/demo/owners');
    expect(asked?.headers.authorization).toBe(REAL);
  });

  it('is told that another registry is refused', async () => {
    const ran = await sandbox.run(cargo('other', 'fetch'));
    expect(ran.status).not.toBe(0);
    expect(ran.stderr).toMatch(/CONNECT tunnel failed, response 403/);
  });
});
