import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openVault } from '../../src/vault/sealed.ts';
import { type Installation, installation } from './main-harness.ts';

const VALUE = 'sk-proj-0123456789abcdef';
const OTHER = 'sk-proj-fedcba9876543210';

let home: Installation;
beforeEach(() => {
  home = installation();
});
afterEach(() => home.remove());

type Row = {
  name: string;
  created: string;
  rotated: string | null;
  last_used: string | null;
  group: string | null;
};

async function done(
  args: readonly string[],
  more: { stdin?: string; env?: Record<string, string> } = {},
): Promise<string> {
  const { out, err, status } = await home.run(['vault', ...args], more);
  expect({ status, err }).toEqual({ status: 0, err: '' });
  return out;
}

async function rows(): Promise<readonly Row[]> {
  return JSON.parse(await done(['list', '--json'])) as Row[];
}

async function stored(name: string): Promise<string> {
  return (await openVault({ dir: join(home.dir, '.sallyport') }).get(name)).expose().toString('utf8');
}

describe('vault set', () => {
  it('stores what stands on standard input, makes the key file, and says so without the value', async () => {
    const out = await done(['set', 'openai'], { stdin: `${VALUE}\n` });
    expect(out).toBe('openai: stored\n');
    expect(await stored('openai')).toBe(VALUE);
    expect(readdirSync(join(home.dir, '.sallyport')).sort()).toEqual([
      // A note for the record.
      'actions',
      'vault-seen.json',
      'vault.json',
      'vault.key',
    ]);
  });

  it('replaces an existing value', async () => {
    await done(['set', 'openai'], { stdin: VALUE });
    expect(await done(['set', 'openai'], { stdin: OTHER })).toContain('replaced');
    expect(await done(['set', 'openai'], { stdin: OTHER })).toContain('unchanged');
    expect(await stored('openai')).toBe(OTHER);
  });

  it('refuses a value under 16 bytes, and takes it with --force', async () => {
    const refused = await home.run(['vault', 'set', 'short'], { stdin: 'fifteen-bytes-x' });
    expect(refused.status).toBe(1);
    expect(refused.err).toContain('--force');
    expect(refused.err + refused.out).not.toContain('fifteen');
    await done(['set', 'short', '--force'], { stdin: 'fifteen-bytes-x' });
    expect(await stored('short')).toBe('fifteen-bytes-x');
  });

  it.each([
    ['no value', ['set', 'openai'], '', 2],
    ['a bad name', ['set', 'open ai'], VALUE, 2],
    ['a value as an argument', ['set', 'openai', VALUE], '', 2],
    ['no name', ['set'], VALUE, 2],
  ])('is refused with %s', async (_what, args, stdin, status) => {
    const ran = await home.run(['vault', ...args], { stdin });
    expect(ran.status).toBe(status);
    expect(existsSync(join(home.dir, '.sallyport', 'vault.json'))).toBe(false);
  });

  it('uses the state folder of the settings, or the one that is named', async () => {
    writeFileSync(join(home.dir, 'other.yaml'), 'state:\n  dir: elsewhere\n');
    await done(['set', 'a', '--config', 'other.yaml'], { stdin: VALUE });
    await done(['set', 'b', '--state-dir', 'third'], { stdin: VALUE });
    expect(existsSync(join(home.dir, 'elsewhere', 'vault.json'))).toBe(true);
    expect(existsSync(join(home.dir, 'third', 'vault.json'))).toBe(true);
    expect(existsSync(join(home.dir, '.sallyport'))).toBe(false);
  });
});

describe('vault list', () => {
  it('shows nothing but names, times and groups', async () => {
    await done(['set', 'openai', '--group', 'models'], { stdin: VALUE });
    await done(['set', 'github'], { stdin: OTHER });
    const [github, openai] = await rows();
    expect(Object.keys(openai ?? {})).toEqual(['name', 'created', 'rotated', 'last_used', 'group']);
    expect(openai).toMatchObject({ name: 'openai', rotated: null, last_used: null, group: 'models' });
    expect(github?.name).toBe('github');
    const table = await done(['list']);
    expect(table).toMatch(
      /^NAME +CREATED +ROTATED +LAST USED +GROUP\ngithub +\d{4}-.* -\nopenai +\d{4}-.* models\n$/,
    );
    expect(table).not.toContain('sk-proj');
  });

  it('is empty before the first value', async () => {
    expect(await done(['list'])).toBe('the vault is empty\n');
    expect(await rows()).toEqual([]);
  });
});

describe('vault rotate and rm', () => {
  it('replace and remove a value, which is then refused as revoked', async () => {
    await done(['set', 'openai'], { stdin: VALUE });
    await done(['rotate', 'openai'], { stdin: OTHER });
    expect(await stored('openai')).toBe(OTHER);
    expect((await rows())[0]?.rotated).toMatch(/^\d{4}-/);
    await done(['rm', 'openai']);
    expect(await rows()).toEqual([]);
    const revoked = await openVault({ dir: join(home.dir, '.sallyport') }).revoked();
    for (const value of [VALUE, OTHER])
      expect(revoked.some((one) => one.matches(Buffer.from(value)))).toBe(true);
  });

  it.each([['rotate'], ['rm']])('%s refuses a name that is not there', async (command) => {
    const ran = await home.run(['vault', command, 'nobody'], { stdin: VALUE });
    expect(ran.status).toBe(1);
    expect(ran.err).toContain('nobody');
  });

  it('rotate refuses the value that is there already', async () => {
    await done(['set', 'openai'], { stdin: VALUE });
    expect((await home.run(['vault', 'rotate', 'openai'], { stdin: VALUE })).status).toBe(1);
  });
});

describe('--json', () => {
  const told = async (args: readonly string[], stdin?: string): Promise<unknown> =>
    JSON.parse(await done([...args, '--json'], stdin === undefined ? {} : { stdin }));

  it('of set, rotate and rm prints what was done to which name, never a value', async () => {
    expect(await told(['set', 'a'], VALUE)).toEqual({ name: 'a', outcome: 'created' });
    expect(await told(['set', 'a'], VALUE)).toEqual({ name: 'a', outcome: 'unchanged' });
    expect(await told(['rotate', 'a'], OTHER)).toEqual({ name: 'a', outcome: 'replaced' });
    expect(await told(['rm', 'a'])).toEqual({ name: 'a', outcome: 'removed' });
  });
});
