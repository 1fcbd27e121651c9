import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownEnv } from '../helpers/run-program.ts';
import { AGENTS, type Installation, installation } from './main-harness.ts';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('../../src/sallyport.js', import.meta.url));
const MANIFEST = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
  engines: { node: string };
};

const COMMANDS = [
  'start',
  'init',
  'check',
  'explain',
  'test',
  'vault',
  'token',
  'env',
  'audit',
  'ca',
  'demo',
];

let home: Installation;
beforeEach(() => {
  home = installation({ policies: { 'agents.yaml': AGENTS } });
});
afterEach(() => home.remove());

describe('the program', () => {
  it('lists every command in its help', async () => {
    const { out, status } = await home.run(['--help']);
    expect(status).toBe(0);
    for (const command of COMMANDS) expect(out).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    expect(out).toContain('Examples:');
  });

  it.each(COMMANDS)('shows the help of %s, by option and by name', async (command) => {
    const byOption = await home.run([command, '--help']);
    const byName = await home.run(['help', command]);
    expect(byOption.status).toBe(0);
    expect(byOption.out).toContain(`Usage: sallyport ${command}`);
    expect(byName.out).toBe(byOption.out);
  });

  it.each(['vault set', 'token create', 'audit tail', 'ca show', 'ca'])(
    'gives examples in the help of %s',
    async (name) => {
      const { out, status } = await home.run([...name.split(' '), '--help']);
      expect(status).toBe(0);
      expect(out).toContain(`$ sallyport ${name}`);
    },
  );

  it('prints its version', async () => {
    for (const option of ['--version', '-V']) {
      expect(await home.run([option])).toEqual({ status: 0, out: `${MANIFEST.version}\n`, err: '' });
    }
  });

  it.each([
    ['no command', []],
    ['an unknown command', ['strat']],
    ['an unknown option', ['--frobnicate']],
    ['an unknown option of a command', ['init', '--frobnicate']],
    ['too many arguments', ['init', 'now']],
    ['a group of commands without one', ['token']],
    ['an unknown command, asked for its help', ['strat', '--help']],
    ['an unknown command under a known one, asked for its help', ['token', 'crate', '--help']],
    ['the help of an unknown command', ['help', 'strat']],
    ['a choice that is none', ['env', '--group', 'ai-agents', '--format', 'xml']],
  ])('takes %s for wrong use: status 2 and a message', async (_what, args) => {
    const { status, out, err } = await home.run(args);
    expect(status).toBe(2);
    expect(out).toBe('');
    expect(err).not.toBe('');
  });

  it('guesses what a misspelt command was meant to be', async () => {
    expect((await home.run(['strat'])).err).toContain('start');
  });

  it('puts its name before an error, and no stack', async () => {
    const { err } = await home.run(['token', 'revoke', 'tok_nobody']);
    expect(err).toMatch(
      /^sallyport: there is no token "tok_nobody"; `sallyport token list` shows the ids\n$/,
    );
    expect((await home.run(['token', 'revoke', 'x'], { env: { SALLYPORT_DEBUG: '1' } })).err).toContain(
      'at ',
    );
  });

  it('ends with 1 and names the settings file that is missing', async () => {
    const { status, err } = await home.run(['init', '--config', 'nowhere.yaml']);
    expect(status).toBe(1);
    expect(err).toContain('nowhere.yaml');
  });
});

describe('the start guard', () => {
  /** Starts the script under a Node that says it is another version. */
  function asNode(version: string): { status: number | null; err: string; out: string } {
    const lie = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'${version}'}})`;
    const done = spawnSync(process.execPath, ['--import', lie, SCRIPT, '--version'], { encoding: 'utf8' });
    return { status: done.status, err: done.stderr, out: done.stdout };
  }

  it.each(['18.20.8', '20.20.2', '22.23.2', '24.18.0', '24.9.1', '25.9.0'])(
    'turns Node %s away with one line and status 2',
    (version) => {
      const { status, err, out } = asNode(version);
      expect(status).toBe(2);
      expect(out).toBe('');
      expect(err).toBe(`sallyport: needs Node 24 from 24.18.1, or 26 or later; this is ${version}\n`);
    },
  );

  it.each(['24.18.1', '24.19.0', '24.99.9', '26.0.0', '27.1.0'])('lets Node %s through', (version) => {
    expect(asNode(version)).toEqual({ status: 0, err: '', out: `${MANIFEST.version}\n` });
  });

  it('asks for what package.json asks for', () => {
    expect(MANIFEST.engines.node).toBe('^24.18.1 || >=26');
  });

  it('is syntax that Node 20 on this machine reads, where there is one', (context) => {
    const found = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
      const version = spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout;
      return typeof version === 'string' && /^v(1\d|2[0-3])\./.test(version);
    });
    if (found === undefined) return context.skip('no older Node on this machine');
    const done = spawnSync(found, [SCRIPT, 'start'], { encoding: 'utf8' });
    expect(done.status).toBe(2);
    expect(done.stderr).toMatch(/^sallyport: needs Node 24 [^\n]*\n$/);
  });
});

describe('the process', () => {
  it('prints nothing but its output, and ends with the status of its command', async () => {
    const { stdout, stderr } = await run(process.execPath, [SCRIPT, 'token', 'list', '--json'], {
      cwd: home.dir,
      env: ownEnv(),
    });
    expect({ stdout, stderr }).toEqual({ stdout: '[]\n', stderr: '' });
    const wrong = spawnSync(process.execPath, [SCRIPT, 'token', 'revoke', 'x'], {
      cwd: home.dir,
      env: ownEnv(),
      encoding: 'utf8',
    });
    expect(wrong.status).toBe(1);
    expect(spawnSync(process.execPath, [SCRIPT, 'nonsense'], { cwd: home.dir }).status).toBe(2);
  });

  it('ends quietly when the reader of its output goes away', () => {
    const line = `"${process.execPath}" "${SCRIPT}" --help | head -n 1`;
    const out = execFileSync('bash', ['-o', 'pipefail', '-c', line], { encoding: 'utf8', cwd: home.dir });
    expect(out).toMatch(/^Usage: sallyport/);
  });
});
