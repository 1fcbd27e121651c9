/** The Redis of deploy/compose and deploy/kubernetes, run as they run it: who gets in, what they may do, and replicas on it. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { createLog } from '../../src/base/log.ts';
import { openReplicasOf } from '../../src/cli/start-replicas.ts';
import { loadSettings } from '../../src/config/settings.ts';
import { COMPOSE_DIR, loose, readCompose, text, texts } from '../helpers/compose.ts';
import { ROOT } from '../helpers/import-table.ts';
import { freePort } from '../helpers/ports.ts';
import { describeWith } from '../helpers/programs.ts';
import { eventually } from '../helpers/world.ts';
import { below, KUBERNETES, type Loose, list, manifests } from './manifests.ts';

type Place = {
  /** as the container gets them */
  readonly args: readonly string[];
  /** of the proxy's container */
  readonly env: ReadonlyMap<string, string>;
  /** path in a container to the file that stands there */
  readonly files: ReadonlyMap<string, string>;
};

const README = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const RIGHTS = /`(-@all [^`]+)`/.exec(README)?.[1] ?? 'none';

describeWith(['redis-server', 'redis-cli', 'openssl'], 'the Redis of the deployments', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'sallyport-deploy-redis-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const ofCompose = (): Place => {
    cpSync(COMPOSE_DIR, dir, { recursive: true });
    execFileSync(path.join(dir, 'setup.sh'));
    const { services, raw, networks } = readCompose('compose.redis.yaml');
    const files = Object.entries(loose(raw['secrets'])).map(
      ([name, one]) => [`/run/secrets/${name}`, path.join(dir, text(loose(one)['file']))] as const,
    );
    const redis = services.get('redis');
    const env = services.get('sallyport')?.environment ?? new Map<string, string>();
    const [mine = ''] = redis?.networks.values() ?? [];
    // Both sides write one address, on a network without a way out; Redis gets no secret but its accounts.
    expect(new URL(env.get('SALLYPORT_STATE_REDIS') ?? '').hostname).toBe(mine);
    expect([...(redis?.networks.keys() ?? [])]).toEqual(['shared']);
    expect(networks.get('shared')).toMatchObject({ internal: true, isolated: true });
    expect(texts(redis?.raw['secrets'])).toEqual(['redis_acl']);
    const args = texts(redis?.raw['command']).map((word) => (word === mine ? '127.0.0.1' : word));
    return { args, env, files: new Map(files) };
  };

  const ofKubernetes = (): Place => {
    const readme = readFileSync(path.join(KUBERNETES, 'README.md'), 'utf8');
    const made = [...readme.matchAll(/```sh\n(umask 077\n[\s\S]*?)```/g)].map(([, script = '']) => script);
    const script = made.find((one) => one.includes('users.acl')) ?? '';
    const [commands = ''] = script.split(/^kubectl/m);
    execFileSync('sh', ['-euc', commands], { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
    const found = manifests().find(({ kind, name }) => kind === 'Deployment' && name === 'sallyport-redis');
    const pod = below(found?.raw, 'spec', 'template', 'spec');
    const [container] = list(pod['containers']);
    const component = loose(parse(readFileSync(path.join(KUBERNETES, 'redis/kustomization.yaml'), 'utf8')));
    const [patch] = list(component['patches']);
    const ops = list(parse(text(patch?.['patch'])));
    const added = (to: string): unknown => ops.find((op) => text(op['path']).endsWith(to))?.['value'];
    // The key that entries are sealed with is in a Secret that Redis does not mount.
    const secretOf = (volume: Loose): string => text(below(volume, 'secret')['secretName']);
    expect(list(pod['volumes']).map(secretOf).filter(Boolean)).toEqual(['sallyport-redis-users']);
    expect(script).toContain('secret generic sallyport-redis-users --from-file=users.acl\n');
    const mine = secretOf(loose(added('/volumes/-')));
    expect(script).toContain(`secret generic ${mine} --from-file=password --from-file=key\n`);
    const at = text(loose(added('/volumeMounts/-'))['mountPath']);
    return {
      args: texts(container?.['args']),
      env: new Map(list(added('/env')).map(({ name, value }) => [text(name), text(value)])),
      files: new Map([
        [`${at}/password`, path.join(dir, 'password')],
        [`${at}/key`, path.join(dir, 'key')],
        ['/run/secrets/redis/users.acl', path.join(dir, 'users.acl')],
      ]),
    };
  };

  const serve = async (args: readonly string[], port: number): Promise<(...words: string[]) => string> => {
    const child = spawn('redis-server', [...args, '--port', `${port}`, '--dir', dir], { stdio: 'ignore' });
    const gone = once(child, 'exit');
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await gone;
    });
    const cli = (...words: string[]): string => {
      const { stdout, stderr } = spawnSync('redis-cli', ['-p', `${port}`, ...words], { encoding: 'utf8' });
      return stdout + stderr;
    };
    await eventually(() => cli('PING').includes('NOAUTH'), 20_000);
    return cli;
  };

  it.each([
    ['compose', ofCompose],
    ['kubernetes', ofKubernetes],
  ])(
    'lets replicas in and nobody else, and lets them do no more than they need: %s',
    async (_title, read) => {
      const { args, env, files } = read();
      const real = (word: string): string => files.get(word) ?? word;
      const port = await freePort();
      const cli = await serve(args.map(real), port);
      expect(args.join(' ')).toContain('--maxmemory-policy noeviction');

      const state = path.join(dir, 'state');
      mkdirSync(state, { mode: 0o700 });
      const file = path.join(dir, 'sallyport.yaml');
      writeFileSync(file, `state: { dir: ${state} }\n`);
      const given = Object.fromEntries([...env].map(([name, value]) => [name, real(value)]));
      const url = (given['SALLYPORT_STATE_REDIS'] ?? '').replace(/@[^@]+$/, `@127.0.0.1:${port}`);
      const loaded = loadSettings({ file, env: { SALLYPORT_STATE_REDIS: url }, cwd: dir });
      if (!('settings' in loaded)) throw new Error(JSON.stringify(loaded.problems));
      const log = createLog({ stream: new PassThrough() });
      const replicas = await openReplicasOf(loaded.settings, { env: given, log, version: 'test' });
      expect(replicas?.view()).toMatchObject({ connected: true, seen: [{ self: true }] });
      await replicas?.close();

      const password = readFileSync(given['SALLYPORT_REDIS_PASSWORD_FILE'] ?? '', 'utf8').trim();
      const as = (...words: string[]): string => cli('--user', 'sallyport', '--pass', password, ...words);
      expect(as('PING')).toContain('PONG');
      for (const words of ['FLUSHALL', 'CONFIG GET *', 'HSET other a b', 'KEYS *', 'ACL LIST'])
        expect(as(...words.split(' ')), words).toContain('NOPERM');
      expect(cli('--user', 'default', '--pass', 'wrong', 'PING')).toMatch(/WRONGPASS|NOAUTH/);
      // One list of rights, wherever it stands.
      const accounts = args[args.indexOf('--aclfile') + 1] ?? '';
      expect(readFileSync(real(accounts), 'utf8')).toContain(RIGHTS);
    },
  );
});
