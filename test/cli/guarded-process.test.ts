/** `start` and its workers as processes: nobody on the machine but root gets at the keys they hold. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownEnv } from '../helpers/run-program.ts';
import { policy } from '../helpers/scene.ts';
import { type Installation, installation } from './main-harness.ts';
import { childrenOf, type Running, startProcess } from './process-harness.ts';

const SCRIPT = fileURLToPath(new URL('../../src/sallyport.js', import.meta.url));
const POLICIES = { 'agents.yaml': policy([]) };
const settings = (workers: number): string =>
  `proxy: { listen: "127.0.0.1:0", workers: ${workers} }\nadmin: { listen: "127.0.0.1:0" }\n`;

const UNLIMITED = 'ulimit -S -c unlimited 2>/dev/null || ulimit -S -c "$(ulimit -H -c)"';

const WITH_OPTION = 'node="$1"; shift; exec "$node" --disable-sigusr1 "$@"';

describe.each([
  ['one process', 1, `${UNLIMITED}; exec "$@"`],
  ['two processes', 2, `${UNLIMITED}; exec "$@"`],
  ['the option of our image, without the limit', 1, `${UNLIMITED}; ${WITH_OPTION}`],
  ['the limit of a service manager, without the option', 1, 'ulimit -c 0; exec "$@"'],
])('start with %s', (_what, workers, through) => {
  let running: Running;
  afterEach(() => running.remove());

  it('opens no inspector at SIGUSR1 and leaves no core when it dies', async () => {
    // Whatever the limit was: the guard must lower it.
    running = await startProcess({
      policies: POLICIES,
      settings: settings(workers),
      through,
    });
    const { pid = 0 } = running.child;
    const processes = [pid, ...childrenOf(pid)];
    expect(processes).toHaveLength(workers === 1 ? 1 : workers + 1);
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('--disable-sigusr1')).toHaveLength(2);
    expect(running.said()).not.toContain('core dumps');
    for (const one of processes) {
      expect(readFileSync(`/proc/${one}/cmdline`, 'utf8')).toContain('\0--max-semi-space-size=16\0');
    }
    for (const one of processes) {
      expect(readFileSync(`/proc/${one}/limits`, 'utf8')).toMatch(/^Max core file size +0 /m);
      expect(Number.parseInt(readFileSync(`/proc/${one}/coredump_filter`, 'utf8'), 16)).toBe(0);
      process.kill(one, 'SIGUSR1');
    }
    expect(await running.admin('GET', '/readyz')).toMatchObject({ status: 200 });
    for (const one of processes) expect(listeningOn(one)).toEqual([]);
    expect(running.said()).not.toContain('Debugger');
    for (const one of processes.toReversed()) process.kill(one, 'SIGABRT');
    await running.gone;
    expect(readdirSync(running.home.dir).filter((name) => name.startsWith('core'))).toEqual([]);
  }, 60_000);
});

/** Ports of 127.0.0.1 on which the inspector would listen by itself. */
function listeningOn(pid: number): string[] {
  const lines = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n');
  // 9229 in hexadecimal, state LISTEN.
  return lines.filter((line) => /^ *\d+: 0100007F:240D \S+ 0A /.test(line));
}

describe('start is refused', () => {
  let home: Installation;
  beforeEach(() => {
    home = installation({ policies: POLICIES, settings: settings(1) });
  });
  afterEach(() => home.remove());

  it.each([
    ['an inspector from NODE_OPTIONS', { NODE_OPTIONS: '--inspect=127.0.0.1:0' }, '--inspect'],
    [
      'heap snapshots at a signal',
      { NODE_OPTIONS: '--heapsnapshot-signal=SIGUSR2' },
      '--heapsnapshot-signal',
    ],
    ['a file of TLS keys', { NODE_OPTIONS: '--tls-keylog=keys' }, '--tls-keylog'],
  ])('with %s, before it reads a key', (_what, env, name) => {
    const ran = spawnSync(process.execPath, [SCRIPT, 'start'], {
      cwd: home.dir,
      env: { ...ownEnv(), ...env },
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect(ran.status).toBe(2);
    expect(ran.stderr).toContain(`refuses to run with ${name}`);
    expect(readdirSync(home.dir)).not.toContain('.sallyport');
  });

  it.each([
    ['.sallyport/vault.json', 0o640],
    ['.sallyport/vault.key', 0o604],
    ['.sallyport/placeholder.key', 0o640],
    ['.sallyport/admin.token', 0o640],
    ['certs/ca.key', 0o604],
  ])('while %s is open to others, with the command that closes it', async (name, mode) => {
    await home.run(['init']);
    await home.run(['vault', 'set', 'a'], { stdin: 'value-of-a-0123456789' });
    const file = join(home.dir, name);
    chmodSync(file, mode);
    const ran = await home.run(['start']);
    expect(ran.status).toBe(1);
    expect(ran.err).toContain(`chmod 600 ${file}`);
    expect(ran.out).toBe('');
  });

  it.each(['vault.json', 'vault.key', 'placeholder.key', 'admin.token'])(
    'while %s is a link',
    async (name) => {
      await home.run(['init']);
      await home.run(['vault', 'set', 'a'], { stdin: 'value-of-a-0123456789' });
      const file = join(home.dir, '.sallyport', name);
      renameSync(file, join(home.dir, 'elsewhere'));
      symlinkSync(join(home.dir, 'elsewhere'), file);
      const ran = await home.run(['start']);
      expect(ran.status).toBe(1);
      expect(ran.err).toContain(`${file} is a symbolic link`);
    },
  );

  it.runIf(process.geteuid?.() === 0)('where the state folder is another user’s', async () => {
    // Everybody's folder in everybody's hands; the process is nobody.
    const dir = join(home.dir, 'open');
    mkdirSync(dir);
    writeFileSync(join(home.dir, 'sallyport.yaml'), `${settings(1)}state: { dir: open }\n`);
    for (const path of [home.dir, join(home.dir, 'policies'), dir]) chmodSync(path, 0o777);
    const other = { uid: 65_534, gid: 65_534 };
    const child = spawn(process.execPath, [SCRIPT, 'start'], { cwd: home.dir, env: ownEnv(), ...other });
    let said = '';
    child.stderr.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
    await once(child, 'close');
    expect(said).toContain(`chmod 700 ${dir}`);
    expect(child.exitCode).toBe(1);
  });
});
