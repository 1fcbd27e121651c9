/** What opens a vault, on the command line: which keys there are, and how one replaces another. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { policy } from '../helpers/scene.ts';
import type { Installation } from './main-harness.ts';
import { startProcess } from './process-harness.ts';
import { type VaultHome, vaultHome } from './vault-harness.ts';

const VALUE = 'sk-proj-0123456789abcdef';
const PASSPHRASE = 'correct horse battery staple';
const HEX = '5f'.repeat(32);

let vault: VaultHome;
beforeEach(async () => {
  vault = vaultHome();
  await vault.run(['set', 'openai'], { stdin: VALUE });
});
afterEach(() => vault.home.remove());

/** A terminal on which these lines are typed, one for each question. */
async function typed(
  args: readonly string[],
  lines: readonly string[],
): Promise<{ status: number; said: string }> {
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} });
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  let [said, asked] = ['', 0];
  stderr.on('data', (bytes: Buffer) => {
    const text = bytes.toString();
    said += text;
    if (text.endsWith(': ')) stdin.write(`${lines[asked++] ?? ''}\r`);
  });
  stdout.on('data', (bytes: Buffer) => {
    said += bytes.toString();
  });
  const io = { stdin, stdout: Object.assign(stdout, { isTTY: true }), stderr, env: {}, cwd: vault.home.dir };
  const status = await runProgram(['vault', ...args], io);
  return { status, said };
}

describe('vault rekey', () => {
  it('makes a new key file and keeps the values', async () => {
    const key = join(vault.state, 'vault.key');
    const before = readFileSync(key);
    expect(await vault.run(['rekey'])).toMatchObject({ status: 0, err: '' });
    expect(readFileSync(key)).not.toEqual(before);
    expect(await vault.stored('openai')).toBe(VALUE);
  });

  it('moves to a passphrase from standard input, which is then needed', async () => {
    expect(await vault.run(['rekey', '--passphrase'], { stdin: `${PASSPHRASE}\n` })).toMatchObject({
      status: 0,
    });
    const locked = await vault.run(['list']);
    expect(locked).toMatchObject({ status: 1, out: '' });
    expect(locked.err).toContain('SALLYPORT_VAULT_PASSPHRASE');
    const file = join(vault.home.dir, 'passphrase');
    writeFileSync(file, `${PASSPHRASE}\n`);
    for (const env of [
      { SALLYPORT_VAULT_PASSPHRASE: PASSPHRASE },
      { SALLYPORT_VAULT_PASSPHRASE_FILE: file },
    ]) {
      expect((await vault.rows({ env })).map(({ name }) => name)).toEqual(['openai']);
    }
    const wrong = await vault.run(['list'], { env: { SALLYPORT_VAULT_PASSPHRASE: 'wrong' } });
    expect(wrong).toMatchObject({ status: 1, out: '' });
    expect(wrong.err + locked.err).not.toContain('horse');
  });

  it('moves to a key from the environment and back to a key file', async () => {
    const moved = await vault.run(['rekey', '--environment-key'], { stdin: `${HEX}\n` });
    expect(moved).toMatchObject({ status: 0, err: '' });
    expect(moved.out).not.toContain(HEX);
    expect((await vault.run(['list'])).err).toContain('SALLYPORT_VAULT_KEY');
    const env = { SALLYPORT_VAULT_KEY: Buffer.from(HEX, 'hex').toString('base64') };
    expect((await vault.rows({ env })).map(({ name }) => name)).toEqual(['openai']);
    expect(await vault.run(['rekey'], { env })).toMatchObject({ status: 0 });
    expect(await vault.stored('openai')).toBe(VALUE);
  });

  it.each([
    ['a short passphrase', ['--passphrase'], 'short', 1],
    ['no passphrase', ['--passphrase'], '', 2],
    ['a key of another length', ['--environment-key'], HEX.slice(2), 1],
    ['both at once', ['--passphrase', '--environment-key'], HEX, 2],
  ])('refuses %s and changes nothing', async (_what, options, stdin, status) => {
    const before = readFileSync(join(vault.state, 'vault.json'));
    const ran = await vault.run(['rekey', ...options], { stdin });
    expect(ran.status).toBe(status);
    expect(ran.err).not.toContain('5f5f');
    expect(readFileSync(join(vault.state, 'vault.json'))).toEqual(before);
  });
});

describe('on a terminal', () => {
  it('a new passphrase is typed twice, without echo', async () => {
    const slip = await typed(['rekey', '--passphrase'], [PASSPHRASE, `${PASSPHRASE}r`]);
    expect(slip.status).toBe(1);
    expect(slip.said).toContain('not the same');
    expect(await vault.stored('openai')).toBe(VALUE);
    const done = await typed(['rekey', '--passphrase'], [PASSPHRASE, PASSPHRASE]);
    expect(done.status).toBe(0);
    expect(slip.said + done.said).not.toContain('horse');
  });

  it('the passphrase of the vault is asked for where it is not in the environment', async () => {
    await vault.run(['rekey', '--passphrase'], { stdin: PASSPHRASE });
    const listed = await typed(['list'], [PASSPHRASE]);
    expect(listed).toMatchObject({ status: 0, said: expect.stringContaining('openai') as unknown });
    expect(listed.said).toContain('Passphrase of the vault: ');
    const set = await typed(['set', 'github'], [PASSPHRASE, 'ghp_0123456789abcdef0123456789abcdef']);
    expect(set.status).toBe(0);
    expect(set.said).not.toContain('ghp_');
  });
});

it.each([
  ['is not used', async () => {}, true],
  [
    'opens it',
    async (home: Installation) => {
      await home.run(['vault', 'rekey', '--passphrase'], { stdin: `${PASSPHRASE}\n` });
    },
    false,
  ],
] as const)('a start says whether a passphrase that is given %s', async (_how, rekey, warned) => {
  const running = await startProcess({
    policies: { 'agents.yaml': policy([]) },
    settings: 'proxy: { listen: "127.0.0.1:0" }\nadmin: { listen: "127.0.0.1:0" }\n',
    env: { SALLYPORT_VAULT_PASSPHRASE: PASSPHRASE },
    prepare: async (home) => {
      await home.run(['vault', 'set', 'openai'], { stdin: VALUE });
      await rekey(home);
    },
  });
  onTestFinished(() => running.remove());
  expect(running.said().includes('is set and not used')).toBe(warned);
});
