/** Values that were in use are known as revoked after a restart, whoever changed them meanwhile: by digest, in a file. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { SourceRef } from '../../../src/policy/model.ts';
import { createEnvSource } from '../../../src/vault/env.ts';
import { createKeyring, type Keyring } from '../../../src/vault/keyring.ts';
import { openRemembered, REMEMBERED_FILE } from '../../../src/vault/remembered.ts';
import { openVault } from '../../../src/vault/sealed.ts';
import type { SecretSource } from '../../../src/vault/source.ts';
import { valueFrom } from '../../../src/vault/source.ts';
import { keysShown } from '../../helpers/key-forms.ts';
import { stateFolder, until } from './folder.ts';

const CLOCK = { now: () => 1_000_000, mono: () => 0 };
const KEY = randomBytes(32);
const ref = (kind: SourceRef['kind'], name: string): SourceRef => ({ kind, name, text: `${kind}:${name}` });
const FIRST = 'sk-first-value-0123456789abcdef';
const SECOND = 'sk-second-value-0123456789abcde';

/** A process of this installation. */
function started(dir: string, sources: Readonly<Record<string, SecretSource>>, problems: string[] = []) {
  const remembered = openRemembered({
    file: join(dir, REMEMBERED_FILE),
    installationKey: KEY,
    onProblem: (message) => void problems.push(message),
  });
  const keyring: Keyring = createKeyring({ sources, clock: CLOCK, remembered });
  onTestFinished(() => keyring.close());
  return keyring;
}
const withEnv = async (dir: string, A: string, problems: string[] = []): Promise<Keyring> => {
  const keyring = started(dir, { env: createEnvSource({ A }) }, problems);
  await keyring.load([ref('env', 'A')]);
  return keyring;
};

describe('a value that was in use before the last start', () => {
  it('is a leak in every spelling, as one that is in use', async () => {
    const dir = stateFolder();
    (await withEnv(dir, FIRST)).close();
    const leaks = (await withEnv(dir, SECOND)).leaks();
    for (const value of [FIRST, SECOND]) {
      expect(leaks.found(`Bearer ${value}`)).toBe(true);
      expect(leaks.found(Buffer.from(`u:${value}`).toString('base64'))).toBe(true);
      expect(leaks.found(Buffer.from(value).toString('hex'))).toBe(true);
    }
    expect(leaks.found(`Bearer ${FIRST.slice(0, -1)}`)).toBe(false);
  });

  it('is known to the process after the next one, too, and only as itself', async () => {
    const dir = stateFolder();
    for (const value of [FIRST, SECOND, 'sk-third-value-0123456789abcdef'])
      (await withEnv(dir, value)).close();
    const leaks = (await withEnv(dir, 'sk-fourth-value-0123456789abcde')).leaks();
    for (const value of [FIRST, SECOND]) expect(leaks.found(value)).toBe(true);
    expect(leaks.found('sk-other-value-0123456789abcdef')).toBe(false);
  });

  it('stands in a file of its owner alone, in no spelling', async () => {
    const dir = stateFolder();
    (await withEnv(dir, FIRST)).close();
    const file = join(dir, REMEMBERED_FILE);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(keysShown({ file: readFileSync(file, 'utf8') }, { FIRST })).toEqual([]);
    expect(readdirSync(dir)).toEqual([REMEMBERED_FILE]);
  });

  it('is not written down again while it stays, nor where it comes back', async () => {
    const dir = stateFolder();
    const keyring = await withEnv(dir, FIRST);
    const file = join(dir, REMEMBERED_FILE);
    const text = readFileSync(file, 'utf8');
    await keyring.refresh();
    (await withEnv(dir, SECOND)).close();
    (await withEnv(dir, FIRST)).close();
    const { lasting } = JSON.parse(readFileSync(file, 'utf8')) as { lasting: unknown[] };
    expect(lasting).toHaveLength(2);
    expect(lasting[0]).toEqual((JSON.parse(text) as { lasting: unknown[] }).lasting[0]);
  });

  it('is left to the vault where it is one of its: that keeps its own list', async () => {
    const dir = stateFolder();
    const vault = openVault({ dir });
    await vault.set('a', Buffer.from(FIRST));
    const keyring = started(dir, { vault });
    await keyring.load([ref('vault', 'a')]);
    expect(readdirSync(dir)).not.toContain(REMEMBERED_FILE);
  });

  it('is kept beside tokens that were minted, which are known as well', async () => {
    const dir = stateFolder();
    let token = 0;
    const mint: SecretSource = {
      kind: 'mint',
      get: async () => valueFrom('mint:t', Buffer.from(`ghs_token-number-${token}-0123456789`)),
    };
    const keyring = started(dir, { env: createEnvSource({ A: FIRST }), mint });
    await keyring.load([ref('env', 'A'), ref('mint', 't')]);
    for (token = 1; token < 20; token += 1) await keyring.refresh();
    keyring.close();
    const leaks = (await withEnv(dir, SECOND)).leaks();
    expect(leaks.found(FIRST)).toBe(true);
    expect(leaks.found('ghs_token-number-7-0123456789')).toBe(true);
  });

  it('of another process of the installation is known as well, once something changes here', async () => {
    const dir = stateFolder();
    const here = await withEnv(dir, SECOND);
    (await withEnv(dir, FIRST)).close();
    expect(here.leaks().found(FIRST)).toBe(false);
    await here.refresh();
    expect(here.leaks().found(FIRST)).toBe(true);
  });
});

describe('the file of digests', () => {
  it('that cannot be read is no start: revoked keys would be good again', () => {
    const dir = stateFolder();
    const file = join(dir, REMEMBERED_FILE);
    const open = () => openRemembered({ file, installationKey: KEY, onProblem: () => {} });
    for (const text of ['', '{}', '{"version":1,"lasting":[{"length":0}],"minted":[]}']) {
      writeFileSync(file, text);
      expect(open).toThrow(/not in the form/);
    }
  });

  it('that cannot be written is told once, is no end of the keys, and is written when it can be', async () => {
    const dir = stateFolder();
    const problems: string[] = [];
    const env: Record<string, string> = { A: FIRST };
    const keyring = started(dir, { env: createEnvSource(env) }, problems);
    const file = join(dir, REMEMBERED_FILE);
    mkdirSync(file);
    await keyring.load([ref('env', 'A')]);
    env['A'] = SECOND;
    await keyring.refresh();
    expect(problems).toEqual([expect.stringContaining('cannot be kept')]);
    expect(keyring.current(ref('env', 'A'))?.expose().toString()).toBe(SECOND);
    expect(keyring.leaks().found(FIRST)).toBe(true);
    rmSync(file, { recursive: true });
    await until(() => statSync(file, { throwIfNoEntry: false })?.isFile() === true, 20_000);
    keyring.close();
    const after = await withEnv(dir, 'sk-third-value-0123456789abcdef');
    for (const value of [FIRST, SECOND]) expect(after.leaks().found(value)).toBe(true);
  });

  it('is written later where another process is writing it', async () => {
    const dir = stateFolder();
    const problems: string[] = [];
    const lock = join(dir, `${REMEMBERED_FILE}.lock`);
    writeFileSync(lock, `${process.pid} somebody`);
    const keyring = await withEnv(dir, FIRST, problems);
    // Nobody waits for a lock, and a taken one is no problem.
    expect(problems).toEqual([]);
    expect(readdirSync(dir)).not.toContain(REMEMBERED_FILE);
    rmSync(lock);
    await until(() => readdirSync(dir).includes(REMEMBERED_FILE), 20_000);
    keyring.close();
  });
});
