import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type VaultHome, vaultHome } from './vault-harness.ts';

const VALUE = 'sk-proj-0123456789abcdef';
const OTHER = 'sk-proj-fedcba9876543210';

const FILE = [
  '# keys',
  'export OPENAI_API_KEY="sk-proj-0123456789abcdef"',
  'PORT=3000',
  'AWS_ACCESS_KEY_ID=AKIAABCDEFGHIJKLMNOP',
  "AWS_SECRET_ACCESS_KEY='abcdefghijklmnopqrstuvwxyz0123456789/+AB'",
  'STAGE_AWS_ACCESS_KEY_ID=AKIASTAGESTAGESTAGES',
  'STAGE_AWS_SECRET_ACCESS_KEY=stagestagestagestagestagestagestagestage',
  'AWS_ACCESS_KEY_ID_PROD=AKIAPRODPRODPRODPROD',
  'AWS_SECRET_ACCESS_KEY_PROD=prodprodprodprodprodprodprodprodprodprod',
  'AWS_SESSION_TOKEN_PROD=tokentokentokentokentokentokentokentoken',
  '',
].join('\r\n');

let vault: VaultHome;
beforeEach(() => {
  vault = vaultHome();
});
afterEach(() => vault.home.remove());

const groups = async (): Promise<string[]> =>
  (await vault.rows()).map(({ name, group }) => `${name} ${String(group)}`);

describe('vault import', () => {
  it('stores all keys of a .env, groups AWS sets and skips what is too short for a key', async () => {
    writeFileSync(join(vault.home.dir, '.env'), FILE);
    const { out, err, status } = await vault.run(['import', '.env']);
    expect(status).toBe(0);
    expect(err).toBe('PORT: skipped, it is shorter than 16 bytes (--force takes it)\n');
    expect(out).toContain('9 found, 8 stored, 1 skipped\n');
    expect(out + err).not.toMatch(/0123456789|AKIA|prodprod/);
    expect(await groups()).toEqual([
      'AWS_ACCESS_KEY_ID AWS',
      'AWS_ACCESS_KEY_ID_PROD AWS_PROD',
      'AWS_SECRET_ACCESS_KEY AWS',
      'AWS_SECRET_ACCESS_KEY_PROD AWS_PROD',
      'AWS_SESSION_TOKEN_PROD AWS_PROD',
      'OPENAI_API_KEY null',
      'STAGE_AWS_ACCESS_KEY_ID STAGE_AWS',
      'STAGE_AWS_SECRET_ACCESS_KEY STAGE_AWS',
    ]);
    expect(await vault.stored('AWS_SECRET_ACCESS_KEY')).toBe('abcdefghijklmnopqrstuvwxyz0123456789/+AB');
  });

  it('reads standard input, puts a prefix before names, and can take all', async () => {
    const stdin = FILE.split('\r\n').slice(0, 5).join('\n');
    expect(await vault.run(['import', '-', '--prefix', 'prod/', '--force'], { stdin })).toMatchObject({
      status: 0,
      err: '',
    });
    expect(await groups()).toEqual([
      'prod/AWS_ACCESS_KEY_ID prod/AWS',
      'prod/AWS_SECRET_ACCESS_KEY prod/AWS',
      'prod/OPENAI_API_KEY null',
      'prod/PORT null',
    ]);
  });

  it('keeps a value of several lines as it is', async () => {
    const stdin = 'KEY="-----BEGIN\r\nabcdefghijklmnop\r\n-----END"\r\nQ=\'with "quotes" and \\n in it\'\r\n';
    await vault.run(['import', '-'], { stdin });
    expect(await vault.stored('KEY')).toBe('-----BEGIN\nabcdefghijklmnop\n-----END');
    expect(await vault.stored('Q')).toBe('with "quotes" and \\n in it');
  });

  it('says of a name that stands there twice that the last value counts', async () => {
    const { err, status } = await vault.run(['import', '-'], {
      stdin: `A=${VALUE}\nB=${VALUE}\nA=${OTHER}\n`,
    });
    expect(status).toBe(0);
    expect(err).toBe('A: stands there again in line 3; the last value counts\n');
    expect(await vault.stored('A')).toBe(OTHER);
  });

  it('stores nothing where a name has another value already, unless it may overwrite', async () => {
    await vault.run(['import', '-'], { stdin: `A=${VALUE}\nB=${OTHER}\n` });
    const stdin = `A=${VALUE}\nB=${VALUE}x\nC=${VALUE}y\n`;
    const refused = await vault.run(['import', '-'], { stdin });
    expect(refused.status).toBe(1);
    expect(refused.err).toContain('--overwrite');
    expect(refused.out).toBe(
      'A: unchanged, it is the same value\nB: is there already with another value\nC: would be stored\n3 found, 0 stored, 0 skipped\n',
    );
    expect(await vault.stored('B')).toBe(OTHER);
    expect((await vault.rows()).map(({ name }) => name)).toEqual(['A', 'B']);
    const done = await vault.run(['import', '-', '--overwrite'], { stdin });
    expect(done).toMatchObject({ status: 0, err: '' });
    expect(done.out).toBe(
      'A: unchanged, it is the same value\nB: replaced; the old value is refused as revoked\nC: stored\n3 found, 2 stored, 0 skipped\n',
    );
  });

  it('can be tried first: says what it would do, and makes nothing', async () => {
    const { out, err, status } = await vault.run(['import', '-', '--dry-run'], { stdin: FILE });
    expect(status).toBe(0);
    expect(out).toContain('AWS_SESSION_TOKEN_PROD: would be stored (group AWS_PROD)\n');
    expect(out).toContain('9 found, 0 stored, 1 skipped\n');
    expect(out + err).not.toMatch(/0123456789|AKIA|prodprod/);
    expect(existsSync(vault.state)).toBe(false);
    await vault.run(['import', '-'], { stdin: `A=${VALUE}\n` });
    const before = readFileSync(join(vault.state, 'vault.json'));
    const again = await vault.run(['import', '-', '--dry-run', '--overwrite'], { stdin: `A=${OTHER}\n` });
    expect(again.out).toBe('A: would replace the value that is there\n1 found, 0 stored, 0 skipped\n');
    expect(readFileSync(join(vault.state, 'vault.json'))).toEqual(before);
  });

  it('prints as JSON counts and one entry for each name, also for what was skipped or is there', async () => {
    await vault.run(['set', 'p/C'], { stdin: OTHER });
    const stdin = `A=${VALUE}\nA=${VALUE}\nB=short\nAWS_ACCESS_KEY_ID=${OTHER}\nAWS_SECRET_ACCESS_KEY=${VALUE}${OTHER}\n`;
    const { out, status } = await vault.run(['import', '-', '--prefix', 'p/', '--json'], { stdin });
    expect(status).toBe(0);
    expect(JSON.parse(out)).toEqual({
      found: 4,
      stored: 3,
      skipped: 1,
      repeated: ['p/A'],
      entries: [
        { name: 'p/A', outcome: 'created', group: null },
        { name: 'p/B', outcome: 'skipped', group: null },
        { name: 'p/AWS_ACCESS_KEY_ID', outcome: 'created', group: 'p/AWS' },
        { name: 'p/AWS_SECRET_ACCESS_KEY', outcome: 'created', group: 'p/AWS' },
      ],
    });
    const refused = await vault.run(['import', '-', '--prefix', 'p/', '--json'], { stdin: `C=${VALUE}\n` });
    expect(refused.status).toBe(1);
    expect(JSON.parse(refused.out)).toMatchObject({
      stored: 0,
      entries: [{ name: 'p/C', outcome: 'exists' }],
    });
  });

  it.each([
    ['a broken line, with its place', 'A=0123456789abcdef\nsk-proj-secret', /-:2: expected NAME=value/],
    ['nothing in it', '# nothing\n', /nothing to import/],
  ])('stores nothing from a file with %s', async (_what, stdin, message) => {
    const { err, status } = await vault.run(['import', '-'], { stdin });
    expect(status).toBe(1);
    expect(err).toMatch(message);
    expect(err).not.toContain('secret');
    expect(await vault.rows()).toEqual([]);
  });

  it('tells when there is no such file', async () => {
    expect(await vault.run(['import', 'nowhere.env'])).toMatchObject({ status: 1 });
  });
});
