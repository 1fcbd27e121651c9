import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownEnv } from '../helpers/run-program.ts';
import { AGENTS, type Installation, installation } from './main-harness.ts';

let home: Installation;
beforeEach(() => {
  home = installation({ policies: { 'agents.yaml': AGENTS } });
});
afterEach(() => home.remove());

type Created = { id: string; group: string; name: string; token: string; expires: string | null };
type Listed = Omit<Created, 'token'> & { created: string; last_used: string | null; revoked: string | null };

async function create(...args: string[]): Promise<Created> {
  const { out, err, status } = await home.run(['token', 'create', '--group', 'ai-agents', '--json', ...args]);
  expect({ status, err }).toEqual({ status: 0, err: '' });
  return JSON.parse(out) as Created;
}

async function list(): Promise<Listed[]> {
  return JSON.parse((await home.run(['token', 'list', '--json'])).out) as Listed[];
}

describe('token create', () => {
  it('prints id, group, name, token and expiry, and nothing else, with --json', async () => {
    const made = await create('--name', 'ci', '--expires', '30d');
    expect(Object.keys(made)).toEqual(['id', 'group', 'name', 'token', 'expires']);
    expect(made).toMatchObject({ group: 'ai-agents', name: 'ci' });
    expect(made.token.startsWith(`sp_${made.id}_`)).toBe(true);
    const days = (Date.parse(made.expires ?? '') - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(29.99);
    expect(days).toBeLessThanOrEqual(30);
  });

  it('prints the token alone on standard output, for a person and for a variable', async () => {
    const { out, err, status } = await home.run(['token', 'create', '--group', 'ai-agents']);
    expect(status).toBe(0);
    expect(out).toMatch(/^sp_tok_[0-9a-z]{16}_[0-9A-Za-z]{43}\n$/);
    expect(err).toContain('valid until it is revoked');
    expect(err).not.toContain(out.trim());
  });

  it('issues nothing for a group that no policy defines, and names those there are', async () => {
    const { status, out, err } = await home.run(['token', 'create', '--group', 'agents']);
    expect(status).toBe(1);
    expect(out).toBe('');
    expect(err).toContain('ai-agents');
    expect(existsSync(join(home.dir, '.sallyport', 'tokens.json'))).toBe(false);
  });

  it.each(['30', '0d', '-1d', '1y', 'd', '1.5h', '', '30 d', '999999999w'])(
    'takes the life time %j for wrong use',
    async (expires) => {
      const { status, err } = await home.run([
        'token',
        'create',
        '--group',
        'ai-agents',
        `--expires=${expires}`,
      ]);
      expect(status).toBe(2);
      expect(err).not.toBe('');
    },
  );

  it('takes a missing --group and an unknown option for wrong use', async () => {
    expect((await home.run(['token', 'create'])).status).toBe(2);
    expect((await home.run(['token', 'create', '--group', 'ai-agents', '--admin'])).status).toBe(2);
  });

  it('says which policy file is broken', async () => {
    writeFileSync(join(home.dir, 'policies', 'agents.yaml'), 'version: 1\ngruop: x\n');
    const { status, err } = await home.run(['token', 'create', '--group', 'ai-agents']);
    expect(status).toBe(1);
    expect(err).toMatch(/agents\.yaml:\d+:\d+: /);
  });
});

describe('token list', () => {
  it('shows all tokens in the promised shape, without hash or token', async () => {
    const made = await create('--name', 'one');
    const rows = await list();
    expect(rows).toEqual([
      {
        id: made.id,
        group: 'ai-agents',
        name: 'one',
        created: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as unknown,
        expires: null,
        last_used: null,
        revoked: null,
      },
    ]);
  });

  it('shows a table to people, with the state of each', async () => {
    const one = await create('--name', 'one');
    const two = await create();
    await home.run(['token', 'revoke', two.id]);
    const { out } = await home.run(['token', 'list']);
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^ID +GROUP +NAME +STATE +CREATED +EXPIRES +LAST USED$/);
    expect(lines[1]).toMatch(new RegExp(`^${one.id}  ai-agents  one +valid `));
    expect(lines[2]).toMatch(new RegExp(`^${two.id}  ai-agents  - +revoked `));
  });

  it('is an empty list, and a hint for people, before the first one', async () => {
    expect(await list()).toEqual([]);
    expect((await home.run(['token', 'list'])).out).toContain('token create');
  });

  it('ends with 1 and names the file when it is broken', async () => {
    await create();
    writeFileSync(join(home.dir, '.sallyport', 'tokens.json'), '{');
    const { status, err } = await home.run(['token', 'list', '--json']);
    expect(status).toBe(1);
    expect(err).toContain('tokens.json');
  });
});

describe('token revoke', () => {
  it('prints id and time with --json, the first time also when it is revoked again', async () => {
    const { id } = await create();
    const { out, status } = await home.run(['token', 'revoke', id, '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(out)).toEqual({ id, revoked: (await list())[0]?.revoked });
    expect((await home.run(['token', 'revoke', id, '--json'])).out).toBe(out);
  });

  it('ends a token', async () => {
    const { id } = await create();
    expect((await home.run(['token', 'revoke', id])).status).toBe(0);
    expect((await list())[0]?.revoked).toMatch(/^\d{4}-/);
  });

  it('ends with 1 for an unknown id, and with 2 without one', async () => {
    expect((await home.run(['token', 'revoke', 'tok_nobody'])).status).toBe(1);
    expect((await home.run(['token', 'revoke'])).status).toBe(2);
  });
});

describe('several processes at once', () => {
  it('lose none of the tokens that they create', async () => {
    const run = promisify(execFile);
    const script = new URL('../../src/sallyport.js', import.meta.url).pathname;
    const args = [script, 'token', 'create', '--group', 'ai-agents'];
    await Promise.all(
      Array.from({ length: 6 }, () => run(process.execPath, args, { cwd: home.dir, env: ownEnv() })),
    );
    expect(await list()).toHaveLength(6);
    expect(readFileSync(join(home.dir, '.sallyport', 'tokens.json'), 'utf8')).toContain('"version": 1');
  });
});
