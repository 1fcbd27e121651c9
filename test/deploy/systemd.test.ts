/** deploy/systemd: what systemd says of the unit, and the unit against what the program really does and is told. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../src/config/settings.ts';
import { ROOT } from '../helpers/import-table.ts';
import { describeWith } from '../helpers/programs.ts';
import { eventually } from '../helpers/world.ts';

const DIR = path.join(ROOT, 'deploy/systemd');
const UNIT = readFileSync(path.join(DIR, 'sallyport.service'), 'utf8');

/** All values of a key, in order. */
function values(key: string): string[] {
  return [...UNIT.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);
}

function settings() {
  const loaded = loadSettings({ file: path.join(DIR, 'sallyport.yaml'), env: {}, cwd: DIR });
  if (!('settings' in loaded)) throw new Error(JSON.stringify(loaded.problems));
  return loaded.settings;
}

describe('the unit', () => {
  it('starts what is in the repository, with the settings beside it', () => {
    const [start = ''] = values('ExecStart');
    for (const word of start.split(' ').filter((one) => one.startsWith('/opt/sallyport/')))
      expect(existsSync(path.join(ROOT, word.slice('/opt/sallyport/'.length))), word).toBe(true);
    expect(values('Environment')).toContain('SALLYPORT_CONFIG=/etc/sallyport/sallyport.yaml');
  });

  it('gives the proxy its state folder, the credential that it names, and longer to stop than it drains', () => {
    expect(values('StateDirectory')).toEqual(['sallyport']);
    const { certs, state, proxy } = settings();
    for (const folder of [certs, state.dir])
      expect(folder.startsWith('/var/lib/sallyport/'), folder).toBe(true);
    const [credential = ''] = values('LoadCredential').map((one) => one.split(':')[0] ?? '');
    expect(values('Environment')).toContain(`SALLYPORT_VAULT_PASSPHRASE_FILE=%d/${credential}`);
    expect(Number(values('TimeoutStopSec')[0]) * 1000).toBeGreaterThan(proxy.drainMs);
    expect(values('LimitCORE')).toEqual(['0']);
  });
});

describeWith(['systemd-analyze'], 'systemd', () => {
  it('finds the unit little exposed', () => {
    const args = [
      'security',
      '--offline=true',
      '--no-pager',
      '--threshold=15',
      path.join(DIR, 'sallyport.service'),
    ];
    const { status, stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
    expect(status, stdout).toBe(0);
    expect(stdout).toMatch(/Overall exposure level for sallyport.service: 1\.\d OK/);
  });

  it('understands every line of it', () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-unit-'));
    const file = path.join(dir, 'sallyport.service');
    writeFileSync(file, UNIT.replaceAll(/\/opt\/sallyport\/node_modules\/\.bin\/node/g, '/bin/true'));
    const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
    rmSync(dir, { recursive: true });
    const ours = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('sallyport'));
    expect(ours).toEqual([]);
  });
});

/** Set of system calls or `@set` to its members, as systemd has them. */
function callSets(): ReadonlyMap<string, readonly string[]> {
  const text = execFileSync('systemd-analyze', ['syscall-filter', '--no-pager'], { encoding: 'utf8' });
  const sets = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('@')) {
      current = [];
      sets.set(line.trim(), current);
    } else if (/^ {4}[@a-z_]/.test(line)) current.push(line.trim());
  }
  return sets;
}

function expand(names: readonly string[], sets: ReadonlyMap<string, readonly string[]>): Set<string> {
  return new Set(
    names.flatMap((name) => (name.startsWith('@') ? [...expand(sets.get(name) ?? [], sets)] : [name])),
  );
}

describeWith(['systemd-analyze', 'strace', 'curl'], 'what the program asks of the kernel', () => {
  it('is what the unit allows, from its first start to its end', async () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-strace-'));
    mkdirSync(path.join(dir, 'policies'));
    const policy =
      'version: 1\ngroup: a\nidentify: { sources: [127.0.0.1/32] }\nrules: [{ allow: "a.example" }]\n';
    writeFileSync(path.join(dir, 'policies/a.yaml'), policy);
    writeFileSync(path.join(dir, 'pass'), 'correct horse battery staple\n');
    writeFileSync(
      path.join(dir, 'sallyport.yaml'),
      'proxy: { listen: "127.0.0.1:0", drain: 1s }\nadmin: { listen: "127.0.0.1:0" }\nmetrics: { listen: "127.0.0.1:0" }\ndns: { hosts: { "a.example": ["127.0.0.9"] } }\n',
    );
    // Not in a folder that the program watches: each line of it would make the next.
    const traces = mkdtempSync(path.join(tmpdir(), 'sallyport-traces-'));
    const trace = path.join(traces, 'trace');
    const start = [process.execPath, path.join(ROOT, 'src/sallyport.js'), 'start'];
    const child = spawn('strace', ['-f', '-qq', '-o', trace, ...start], {
      cwd: dir,
      env: { PATH: process.env['PATH'] ?? '', SALLYPORT_VAULT_PASSPHRASE_FILE: path.join(dir, 'pass') },
      detached: true,
    });
    const gone = once(child, 'close');
    let said = '';
    child.stdout.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
    child.stderr.on('data', () => {});
    try {
      const [, port] = await eventually(
        () => /proxy {3}http:\/\/127\.0\.0\.1:(\d+)[\s\S]*admin/.exec(said),
        60_000,
      );
      const refused = spawnSync(
        'curl',
        ['-s', '-m', '60', '-x', `http://127.0.0.1:${port}`, 'http://a.example/'],
        {
          encoding: 'utf8',
        },
      );
      // As far as a request goes without a dial: its address was judged, for which the own ones are read.
      expect(refused.stdout).toContain('address_not_allowed');
      const [main = ''] = readFileSync(trace, 'utf8').split(' ');
      writeFileSync(path.join(dir, 'policies/a.yaml'), policy.replace('a.example', 'b.example'));
      process.kill(Number(main), 'SIGHUP');
      process.kill(Number(main), 'SIGTERM');
      await gone;
      const text = readFileSync(trace, 'utf8');
      const used = new Set([...text.matchAll(/^\d+ +([a-z_0-9]+)\(/gm)].map(([, call = '']) => call));
      const sets = callSets();
      const [allowed = '', taken = ''] = values('SystemCallFilter');
      const may = expand(allowed.split(' '), sets);
      for (const call of expand(taken.slice(1).split(' '), sets)) may.delete(call);
      expect(used.size).toBeGreaterThan(40);
      expect([...used].filter((call) => !may.has(call))).toEqual([]);
      const families = new Set([...text.matchAll(/ socket\((AF_\w+)/g)].map(([, family = '']) => family));
      expect(families).toContain('AF_NETLINK');
      expect(values('RestrictAddressFamilies')[0]?.split(' ')).toEqual(expect.arrayContaining([...families]));
    } finally {
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      for (const folder of [dir, traces]) rmSync(folder, { recursive: true, force: true });
    }
  }, 200_000);
});
