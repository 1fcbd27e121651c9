/** Completion, asked in the shells themselves. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { AGENTS, type Installation, installation } from './main-harness.ts';

const FAKE = 'sallyport() { [ "$*" = "completion --groups" ] && printf "ai-agents\\nbuilders\\n"; }';

describe('completion', () => {
  let home: Installation;

  beforeAll(async () => {
    home = installation({ policies: { 'agents.yaml': AGENTS } });
    for (const shell of ['bash', 'zsh']) {
      const { status, out } = await home.run(['completion', shell]);
      expect(status).toBe(0);
      writeFileSync(join(home.dir, shell), out);
    }
  });
  afterAll(() => home.remove());

  it('names the groups for the scripts, and nothing where policies are broken', async () => {
    expect((await home.run(['completion', '--groups'])).out).toBe('ai-agents\n');
    const broken = installation({ policies: { 'agents.yaml': 'nonsense' } });
    expect(await broken.run(['completion', '--groups'])).toEqual({ status: 0, out: '', err: '' });
    broken.remove();
  });

  it.each([[[]], [['fish']]])('refuses %j with the shells that there are', async (args) => {
    const { status, err } = await home.run(['completion', ...args]);
    expect(status).toBe(2);
    expect(err).toMatch(/bash.*zsh/);
  });

  const lines: [string, string[], string[]][] = [
    ['commands', ['ex'], ['explain']],
    ['sub-commands', ['audit', 've'], ['verify']],
    ['options of a sub-command', ['audit', 'verify', '--k'], ['--key']],
    ['behind options and their values', ['audit', '--help', 'report', '--ht'], ['--html']],
    ['group names', ['explain', '--group', 'b'], ['builders']],
    ['what an argument may be', ['completion', 'z'], ['zsh']],
    ['no free text', ['token', 'create', '--name', ''], []],
  ];

  describeWith(['bash'], 'in bash', () => {
    it.each(lines)('completes %s', (_name, words, wanted) => {
      const script = `${FAKE}; . ./bash; COMP_WORDS=(sallyport "$@"); COMP_CWORD=$#; _sallyport; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const out = execFileSync('bash', ['-c', script, 'bash', ...words], { cwd: home.dir, encoding: 'utf8' });
      expect(out.split('\n').filter((line) => line !== '')).toEqual(wanted);
    });
  });

  describeWith(['zsh'], 'in zsh', () => {
    it.each(lines)('completes %s', (_name, words, wanted) => {
      // The shell's own matching is left out: what it would choose from is printed.
      const script = `${FAKE}; compdef() { :; }; _files() { :; }; _describe() { print -rl -- "\${(@P)2}"; }
        . ./zsh; words=(sallyport "$@"); CURRENT=$#words; _sallyport`;
      const out = execFileSync('zsh', ['-f', '-c', script, 'zsh', ...words], {
        cwd: home.dir,
        encoding: 'utf8',
      });
      const offered = out.split('\n').map((line) => line.replace(/:.*/, ''));
      expect(offered.filter((name) => name !== '' && name.startsWith(words.at(-1) ?? ''))).toEqual(wanted);
    });
  });
});
