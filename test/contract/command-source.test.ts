/** What `command:` promises beyond the cases of all sources: no shell, no leftovers, few variables, silence. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createCommandSource } from '../../src/vault/command.ts';
import { type SecretSource, SecretSourceError } from '../../src/vault/source.ts';
import { eventually } from '../helpers/world.ts';

describe('a command', () => {
  let dir = '';
  let source: SecretSource;
  const problems: string[] = [];

  const open = (env: Record<string, string> = {}, fetchMs = 10_000): void => {
    source = createCommandSource({
      base: dir,
      env: { PATH: process.env['PATH'], ...env },
      clock: systemClock,
      limits: { fetchMs },
      onProblem: (message) => problems.push(message),
    });
  };
  const script = (name: string, body: string): void =>
    writeFileSync(join(dir, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  const textOf = async (line: string) => (await source.get(line)).expose().toString();
  const failure = (line: string) =>
    source.get(line).then(
      () => 'no error',
      (error: unknown) =>
        `${error instanceof SecretSourceError ? error.code : ''} ${inspect(error, { depth: 9 })}`,
    );

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-command-'));
    problems.length = 0;
    open();
  });
  afterEach(() => {
    source.close?.();
    rmSync(dir, { recursive: true, force: true });
  });

  it('is found on the PATH or counted from the settings folder, and runs there', async () => {
    script('key', 'pwd');
    expect(await textOf('./key')).toBe(dir);
    expect(await textOf('printf %s value')).toBe('value');
  });

  it('gets its words as they are, without a shell', async () => {
    script('show', 'printf "[%s]" "$@"');
    expect(await textOf(`./show 'a $HOME' "b \\"c\\"" '*'`)).toBe('[a $HOME][b "c"][*]');
  });

  it.each([
    ['value\n', 'value'],
    ['value\n\n', 'value\n'],
    ['value', 'value'],
    ['line 1\nline 2\n', 'line 1\nline 2'],
  ])('printing %j gives %j', async (printed, value) => {
    writeFileSync(join(dir, 'value'), printed);
    expect(await textOf('cat value')).toBe(value);
  });

  it('sees few variables, none of the proxy and its keys, and those that an operator names', async () => {
    open({ SALLYPORT_VAULT_PASSPHRASE: 'p', OPENAI_API_KEY: 'k', AWS_PROFILE: 'a', LC_ALL: 'C', HOME: '/h' });
    const few = (await textOf('env')).split('\n').map((line) => line.split('=')[0]);
    expect(few.toSorted((a = '', b = '') => a.localeCompare(b))).toEqual(['HOME', 'LC_ALL', 'PATH']);
    source.close?.();
    open({ SALLYPORT_COMMAND_ENV: 'AWS_PROFILE, NONE', AWS_PROFILE: 'a', OPENAI_API_KEY: 'k' });
    expect(await textOf('env')).toMatch(/^AWS_PROFILE=a$/m);
    expect(await textOf('env')).not.toMatch(/OPENAI|SALLYPORT/);
  });

  it('is killed at its limit with everything that it started', async () => {
    script('hang', 'sleep 600 & echo "$! $$" >pids.new; mv pids.new pids; wait');
    const pids = join(dir, 'pids');
    // Where it takes long to start a shell, the limit may end it before it has told its numbers.
    for (let limit = 300; !existsSync(pids); limit *= 4) {
      open({}, limit);
      expect(await failure('./hang')).toMatch(/timeout/);
      source.close?.();
    }
    const started = readFileSync(pids, 'utf8').trim().split(' ').map(Number);
    expect(started).toHaveLength(2);
    for (const pid of started) await eventually(() => !isRunning(pid));
  });

  it('that leaves something running in the background is not waited for', async () => {
    script('leave', 'sleep 600 & echo $! >child; echo value');
    expect(await textOf('./leave')).toBe('value');
    const pid = Number(readFileSync(join(dir, 'child'), 'utf8'));
    await eventually(() => !isRunning(pid));
  });

  it('is killed when the proxy lets go of it', async () => {
    script('hang', 'echo $$ >own.new; mv own.new own; sleep 600');
    const asked = failure('./hang');
    const pid = await eventually(() => pidIn(join(dir, 'own')));
    source.close?.();
    await asked;
    await eventually(() => !isRunning(pid));
  });

  it('is killed when it prints without end', async () => {
    expect(await failure('yes')).toMatch(/too_large/);
  });

  it.each([
    ['a failure', './fail', /status 3/],
    ['a signal', './die', /was killed/],
    ['a program that may not be run', './plain', /may not be run/],
    ['a line for a shell', 'cat $HOME', /single quotes/],
  ])('that fails says why and never what it printed: %s', async (_what, line, words) => {
    script('fail', 'echo sk-secret; echo sk-secret >&2; exit 3');
    script('die', 'echo sk-secret; kill -9 $$');
    writeFileSync(join(dir, 'plain'), 'sk-secret', { mode: 0o600 });
    const text = await failure(line);
    expect(text).toMatch(words);
    expect(text + problems.join()).not.toContain('sk-secret');
  });

  it('that cannot be started because the process has no descriptors left is a failure, not the end', async () => {
    const code = `
      import { openSync } from 'node:fs';
      const { createCommandSource } = await import(process.argv[1]);
      const clock = { now: () => 0, mono: () => 0 };
      const source = createCommandSource({ base: '/', env: process.env, clock });
      try { for (;;) openSync('/dev/null', 'r'); } catch {}
      const end = await source.get('echo x').catch((error) => error.code);
      process.stdout.write(String(end));`;
    const module = new URL('../../src/vault/command.ts', import.meta.url).pathname;
    const run = 'ulimit -n 64; exec "$0" --input-type=module -e "$1" "$2"';
    const { stdout } = await promisify(execFile)('sh', ['-c', run, process.execPath, code, module]);
    expect(stdout).toBe('unreadable');
  });

  it('has no standard input to ask on', async () => {
    script('ask', 'read -r answer && echo "$answer" || echo nobody');
    expect(await textOf('./ask')).toBe('nobody');
  });
});

/** A zombie of a container without an init counts as gone. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function pidIn(file: string): number | null {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}
