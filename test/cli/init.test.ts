import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Installation, installation } from './main-harness.ts';

let home: Installation;
beforeEach(() => {
  home = installation();
});
afterEach(() => home.remove());

type Step = { what: string; path: string; created: boolean };
const at = (...names: string[]): string => join(home.dir, ...names);
const modeOf = (path: string): number => statSync(path).mode & 0o777;
const KEPT = [
  'certs/ca.pem',
  'certs/ca.key',
  '.sallyport/vault.key',
  '.sallyport/placeholder.key',
  '.sallyport/admin.token',
];
const contents = (): string[] => KEPT.map((name) => readFileSync(at(name), 'latin1'));

async function init(env: Record<string, string> = {}): Promise<Step[]> {
  const { out, err, status } = await home.run(['init', '--json'], { env });
  expect({ status, err }).toEqual({ status: 0, err: '' });
  return JSON.parse(out) as Step[];
}

describe('init', () => {
  it('makes CA, state folder and keys, closed to everybody else', async () => {
    const steps = await init();
    expect(steps.map(({ what, created }) => `${what} ${created}`)).toEqual([
      'interception CA true',
      'state folder true',
      'vault key true',
      'placeholder key true',
      'admin token true',
    ]);
    expect(steps.every(({ path }) => existsSync(path))).toBe(true);
    expect(modeOf(at('.sallyport'))).toBe(0o700);
    for (const name of KEPT.slice(1)) expect(modeOf(at(name)), name).toBe(0o600);
    expect(statSync(at('.sallyport/vault.key')).size).toBe(32);
    expect(statSync(at('.sallyport/placeholder.key')).size).toBe(32);
    expect(readFileSync(at('.sallyport/admin.token'), 'utf8')).toMatch(/^spa_[\w-]{43}\n$/);
  });

  it('can be repeated: everything is kept as it was', async () => {
    await init();
    const before = contents();
    const steps = await init();
    expect(steps.map(({ created }) => created)).toEqual([false, false, false, false, false]);
    expect(contents()).toEqual(before);
  });

  it('makes only what is missing', async () => {
    await init();
    const before = contents();
    rmSync(at('.sallyport/admin.token'));
    const steps = await init();
    expect(steps.filter(({ created }) => created).map(({ what }) => what)).toEqual(['admin token']);
    expect(contents().slice(0, 4)).toEqual(before.slice(0, 4));
    expect(contents()[4]).not.toBe(before[4]);
  });

  it('agrees on one set of keys when two run at once', async () => {
    await home.run(['ca', 'show']);
    const [one, two] = await Promise.all([init(), init()]);
    const made = [...one, ...two].filter(({ what, created }) => created && what === 'admin token');
    expect(made).toHaveLength(1);
  });

  it('makes no vault key beside a vault that some other key sealed, nor with a passphrase', async () => {
    mkdirSync(at('.sallyport'), { mode: 0o700 });
    writeFileSync(at('.sallyport/vault.json'), '{}', { mode: 0o600 });
    expect((await init()).map(({ what }) => what)).not.toContain('vault key');
    rmSync(at('.sallyport/vault.json'));
    const env = { SALLYPORT_VAULT_PASSPHRASE: 'correct horse battery staple' };
    expect((await init(env)).map(({ what }) => what)).not.toContain('vault key');
    expect(existsSync(at('.sallyport/vault.key'))).toBe(false);
  });

  it('closes a state folder that stands open', async () => {
    mkdirSync(at('.sallyport'));
    chmodSync(at('.sallyport'), 0o755);
    await init();
    expect(modeOf(at('.sallyport'))).toBe(0o700);
  });

  it.each([
    ['a placeholder key of another length', '.sallyport/placeholder.key', 'short', 0o600],
    ['a placeholder key that others can read', '.sallyport/placeholder.key', 'k'.repeat(32), 0o644],
    ['a vault key of another length', '.sallyport/vault.key', '', 0o600],
    ['an empty admin token', '.sallyport/admin.token', '\n', 0o600],
    [
      'an admin token of two lines',
      '.sallyport/admin.token',
      `${'a'.repeat(40)}\n${'b'.repeat(40)}\n`,
      0o600,
    ],
    ['an admin token that everybody can read', '.sallyport/admin.token', `${'a'.repeat(40)}\n`, 0o644],
  ])('stops at %s, names the file and leaves it alone', async (_what, name, text, mode) => {
    mkdirSync(at('.sallyport'), { mode: 0o700 });
    writeFileSync(at(name), text);
    chmodSync(at(name), mode);
    const { status, err } = await home.run(['init']);
    expect(status).toBe(1);
    expect(err).toContain(at(name));
    expect(readFileSync(at(name), 'utf8')).toBe(text);
  });

  it('stops at half a CA', async () => {
    await init();
    rmSync(at('certs/ca.key'));
    const { status, err } = await home.run(['init']);
    expect(status).toBe(1);
    expect(err).toContain('ca.key');
    expect(existsSync(at('certs/ca.key'))).toBe(false);
  });

  it('tells people what it made and what it kept', async () => {
    expect((await home.run(['init'])).out).toMatch(/^made {2}interception CA +\S+ca\.pem$/m);
    expect((await home.run(['init'])).out).toMatch(/^kept {2}interception CA +\S+ca\.pem$/m);
  });
});
