/** deploy/openclaw: its scripts against a live proxy, its configuration against the compose network and OpenClaw's own keys. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readCompose, texts } from '../helpers/compose.ts';
import { ROOT, sourceText } from '../helpers/import-table.ts';
import { describeWith } from '../helpers/programs.ts';
import { policy, profile } from '../helpers/scene.ts';
import { makeWorld, type World } from '../helpers/world.ts';
import { below } from './manifests.ts';

const DIR = path.join(ROOT, 'deploy/openclaw');
const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';
const run = promisify(execFile);
const file = (name: string): string => readFileSync(path.join(DIR, name), 'utf8');

/** What `agents.defaults.sandbox.docker` may hold, by OpenClaw's schema, which is strict. */
const DOCKER_KEYS =
  'image containerPrefix workdir readOnlyRoot tmpfs network user capDrop env setupCommand pidsLimit memory memorySwap cpus gpus ulimits seccompProfile apparmorProfile dns extraHosts binds'.split(
    ' ',
  );

describeWith(['dash', 'curl'], 'the scripts of the sandbox', () => {
  let world: World;
  let gone = false;
  beforeAll(async () => {
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(['allow: api.test', 'allow: mail.test'], {
          more: 'profile: keys\nexclude: [EMAIL_API_KEY]\n',
        }),
        'profiles/keys.yaml': profile([
          { env: 'OPENAI_API_KEY', from: 'env:REAL', hosts: ['api.test'] },
          { env: 'EMAIL_API_KEY', from: 'env:REAL', hosts: ['mail.test'] },
        ]),
      },
      env: { REAL },
    });
  });
  afterAll(async () => {
    if (!gone) await world.stop();
  });

  const shell = async (script: string): Promise<{ stdout: string; stderr: string }> => {
    const env = {
      PATH: '/usr/bin:/bin',
      HOME: world.dir,
      SALLYPORT_URL: `http://127.0.0.1:${world.port}`,
      SALLYPORT_DIR: path.join(world.dir, 'sallyport'),
      SALLYPORT_PROFILE: path.join(DIR, 'profile.sh'),
    };
    return run('dash', ['-euc', script], { env, cwd: '/' });
  };
  const show =
    'echo "$(printenv OPENAI_API_KEY)|$(printenv EMAIL_API_KEY || echo none)|$(printenv HTTPS_PROXY)"';

  it('give every login shell a placeholder for each key of its group, and no other key', async () => {
    const { stdout, stderr } = await shell(`. ${DIR}/profile.sh; ${show}; cat "$SSL_CERT_FILE"`);
    const [openai = '', email, proxy] = stdout.split('\n')[0]?.split('|') ?? [];
    expect(openai).toMatch(/^sk-proj-/);
    expect(openai).not.toBe(REAL);
    expect([email, proxy]).toEqual(['none', `http://127.0.0.1:${world.port}`]);
    expect(stdout).toContain('BEGIN CERTIFICATE');
    expect(stderr).toBe('');
  });

  it('give the same to what the container runs itself, which lives on', async () => {
    const { stdout } = await shell(`${DIR}/entrypoint.sh sh -c '${show}; echo "$$"'; echo after`);
    expect(stdout).toMatch(/^sk-proj-[^|]+\|none\|http:/);
    expect(stdout).toContain('after');
  });

  it('refresh by one fixed question, whatever they are asked, and show no real key', async () => {
    const { stdout } = await shell(`${DIR}/refresh-secrets.sh key list --all`);
    expect(stdout).toMatch(/^export OPENAI_API_KEY='sk-proj-/m);
    expect(stdout).not.toContain(REAL);
    const { stdout: evaluated } = await shell(`eval "$(${DIR}/refresh-secrets.sh)"; ${show}`);
    expect(evaluated).toMatch(/^sk-proj-/);
  });

  it('say so where there is no proxy, and start nevertheless', async () => {
    await world.stop();
    gone = true;
    const { stdout, stderr } = await shell(`${DIR}/entrypoint.sh echo alive`);
    expect(stdout).toBe('alive\n');
    expect(stderr).toMatch(/^sallyport: http:\/\/127\.0\.0\.1:\d+ does not answer; nothing will get out\n$/);
  });
});

describe('openclaw.json', () => {
  const sandboxNetwork = readCompose();
  for (const name of ['openclaw.json', 'openclaw.setup-command.json']) {
    const sandbox = below(JSON.parse(file(name)), 'agents', 'defaults', 'sandbox');
    const docker = below(sandbox, 'docker');

    it(`has keys that OpenClaw knows, and shuts the sandbox in: ${name}`, () => {
      for (const key of Object.keys(docker)) expect(DOCKER_KEYS, key).toContain(key);
      expect(sandbox).toMatchObject({ mode: 'all', workspaceAccess: 'none' });
      expect(docker).toMatchObject({ capDrop: ['ALL'] });
      expect(docker).not.toHaveProperty('binds');
      expect(JSON.stringify(docker)).not.toMatch(/sk-|_KEY|TOKEN/);
    });

    it(`names the network, the name server and the address of the compose file: ${name}`, () => {
      const address = sandboxNetwork.services.get('sallyport')?.networks.get('agents') ?? '';
      expect(docker['network']).toBe(`${String(sandboxNetwork.raw['name'])}_agents`);
      expect(docker['dns']).toEqual([address]);
      expect(docker['extraHosts']).toEqual([`sallyport:${address}`]);
      const settings: unknown = parse(readFileSync(path.join(ROOT, 'deploy/compose/sallyport.yaml'), 'utf8'));
      expect(below(settings, 'proxy')['listen']).toBe(`${address}:8080`);
    });
  }

  it('asks the proxy for pages that it has', () => {
    const asked = [
      ...`${file('openclaw.setup-command.json')}${file('profile.sh')}${file('refresh-secrets.sh')}`.matchAll(
        /(?:8080\}?)(\/[\w.]+)/g,
      ),
    ];
    expect(asked.length).toBeGreaterThan(2);
    for (const [, page = ''] of asked) expect(sourceText('accept/self.ts')).toContain(`'${page}'`);
  });
});

describe('the image and the gateway', () => {
  it('copies what there is and what the build may see', () => {
    const ignore = file('.dockerignore').split('\n');
    const sources = [...file('Dockerfile').matchAll(/^COPY --chmod=\d+ (\S+) /gm)].map(
      ([, name = '']) => name,
    );
    expect(sources.length).toBe(3);
    for (const name of sources) {
      expect(ignore).toContain(`!${name}`);
      expect(file(name).length).toBeGreaterThan(0);
    }
    expect(file('Dockerfile').trim().split('\n').at(-1)).toBe('USER 1000:1000');
  });

  it("keeps the gateway off the sandboxes' network and its port on loopback", () => {
    const gateway = below(
      parse(file('docker-compose.override.yml'), {
        customTags: [{ tag: '!override', collection: 'seq' }],
      }),
      'services',
      'openclaw-gateway',
    );
    expect(gateway['networks']).toEqual(['default']);
    expect(file('docker-compose.override.yml')).toMatch(/!override\n +- "127\.0\.0\.1:/);
    expect(Object.keys(below(gateway, 'environment'))).toEqual(['HOME']);
    expect(texts(gateway['volumes'])).toHaveLength(4);
  });

  it('has a page with every step of the guide, and every symptom of its table', () => {
    const page = file('README.md');
    for (let step = 1; step <= 9; step += 1) expect(page).toMatch(new RegExp(`^${step}\\. \\*\\*`, 'm'));
    for (const symptom of [
      'api-stronghold-cli: command not found',
      'Not logged in',
      'spawn docker EACCES',
      'Mounts denied',
      'pairing required',
      'no sandbox container',
    ])
      expect(page).toContain(symptom);
  });
});
