/** What a person gets wrong at the command line: one line, status 2 or 1, and nothing of what may be a key. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownEnv } from '../helpers/run-program.ts';
import { AGENTS, type Installation, installation } from './main-harness.ts';

const SCRIPT = fileURLToPath(new URL('../../src/sallyport.js', import.meta.url));

let home: Installation;
beforeAll(() => {
  home = installation({ policies: { 'g.yaml': AGENTS } });
});
afterAll(() => home.remove());

describe('an argument too many', () => {
  it.each([
    [['vault', 'set', 'openai', 'sk-0123456789abcdef']],
    [['vault', 'set', 'openai', '--value=sk-0123456789abcdef']],
    [['vault', 'rotate', 'openai', 'a', 'sk-0123456789abcdef']],
  ])('is not repeated, since it may be a key: %s', async (args) => {
    const { status, out, err } = await home.run(args);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(/too many arguments|unknown option '--value'/);
    expect(err).not.toContain('0123456789');
  });
});

describe('an option that is given twice', () => {
  it.each([
    [['lockdown', 'on', '--group', 'a', '--group', 'ai-agents', '--reason', 'x']],
    [['token', 'create', '--group', 'a', '--group=ai-agents']],
    [['check', '--config', 'a.yaml', '--config', 'b.yaml']],
  ])('is wrong use, not the last one in silence: %s', async (args) => {
    const { status, err } = await home.run(args);
    expect(status).toBe(2);
    expect(err).toContain('is given twice');
  });

  it('may be a switch', async () => {
    expect((await home.run(['check', '--json', '--json'])).status).toBe(0);
  });
});

describe('a value that no option takes', () => {
  it('is wrong use also where the record is only searched', async () => {
    for (const args of [
      ['--kind', 'foo'],
      ['--verdict', 'denied'],
      ['--limit', '0'],
    ]) {
      expect((await home.run(['audit', 'search', ...args])).status).toBe(2);
    }
    const { err } = await home.run(['audit', 'tail', '-n', 'x']);
    expect(err).toContain("argument 'x' is to be a whole number from 0 to 100000");
  });

  it('is an address that is none, for explain', async () => {
    const { status, err } = await home.run(['explain', '--from', '1.2.3.400', 'https://a.example/']);
    expect(status).toBe(2);
    expect(err).toContain('takes the IP address of a client, not "1.2.3.400"');
  });

  it('is a name beyond ASCII, for explain, which shows its other spelling', async () => {
    const { status, err } = await home.run(['explain', '--group', 'ai-agents', 'https://bücher.example/a']);
    expect(status).toBe(2);
    expect(err).toContain('write xn--bcher-kva.example');
  });
});

describe('files for check', () => {
  it('may be named twice, and may be the folder of the profiles', async () => {
    expect((await home.run(['check', 'policies/g.yaml', './policies/g.yaml'])).status).toBe(0);
    expect((await home.run(['check', 'policies/profiles'])).status).toBe(0);
  });
});

describe('output that cannot be written', () => {
  it.each([['check'], ['token create --group ai-agents'], ['--help']])(
    'is a failure of %s, not success without output',
    (command) => {
      const line = `exec "${process.execPath}" "${SCRIPT}" ${command} > /dev/full`;
      const done = spawnSync('sh', ['-c', line], { cwd: home.dir, env: ownEnv(), encoding: 'utf8' });
      expect(done.status).toBe(1);
      expect(done.stderr).toContain('sallyport: standard output cannot be written (ENOSPC)\n');
    },
  );
});
