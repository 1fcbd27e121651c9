/** Policies that come by git: a pull is taken as a whole, a bad commit changes nothing, and a replica with the same commit says so. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { policy } from '../helpers/scene.ts';
import { tryConnect } from '../helpers/talk.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const LIMIT_MS = 20_000;

describeWith(['git'], 'policies by git', () => {
  let dir = '';
  const worlds: World[] = [];
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'sallyport-git-'));
  });
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.stop();
    rmSync(dir, { recursive: true });
  });

  const git = (cwd: string, ...args: string[]): void => {
    const who = ['-c', 'user.name=ann', '-c', 'user.email=ann@example.test', '-c', 'init.defaultBranch=main'];
    execFileSync('git', [...who, ...args], {
      cwd,
      stdio: 'ignore',
      env: { PATH: process.env['PATH'], HOME: dir },
    });
  };
  /** A proxy whose policy folder is a clone. */
  const deployed = async (): Promise<{ world: World; pull: () => void; hash: () => string | undefined }> => {
    const world = await makeWorld({
      policies: { 'other.yaml': policy(['allow: other.test'], { group: 'other' }) },
      // Nothing is dialled: the address is one that no rule opens.
      hosts: { 'a.test': ['127.0.0.1'], 'b.test': ['127.0.0.1'] },
    });
    worlds.push(world);
    const folder = path.join(world.dir, 'policies');
    rmSync(folder, { recursive: true });
    git(world.dir, 'clone', path.join(dir, 'origin'), folder);
    return {
      world,
      pull: () => git(folder, 'pull', '--ff-only'),
      hash: () => world.proxy.parts.snapshots.current()?.set.hash,
    };
  };

  it('are taken whole, kept when a commit is bad, and the same for all that have the commit', async () => {
    const desk = path.join(dir, 'desk');
    git(dir, 'init', '--bare', 'origin');
    git(dir, 'clone', 'origin', desk);
    const push = (file: string, text: string): void => {
      writeFileSync(path.join(desk, file), text);
      git(desk, 'add', '-A');
      git(desk, 'commit', '-m', file);
      git(desk, 'push', 'origin', 'HEAD:main');
    };
    push('agents.yaml', policy(['allow: a.test']));
    const one = await deployed();
    const two = await deployed();
    const reason = async (host: string): Promise<string> => {
      const { client, answer } = await tryConnect(one.world.port, `${host}:443`);
      client.destroy();
      return answer.reason.split(' ')[0] ?? '';
    };
    await eventually(async () => (await reason('a.test')) === 'address_not_allowed', LIMIT_MS);
    const first = await eventually(() => (one.hash() === two.hash() ? one.hash() : null), LIMIT_MS);
    expect(await reason('b.test')).toBe('host_not_allowed');

    push('more.yaml', policy(['allow: a.test'], { group: 'more', sources: '127.0.0.2/32' }));
    push('agents.yaml', policy(['allow: b.test']));
    one.pull();
    const second = await eventually(() => (one.hash() === first ? null : one.hash()), LIMIT_MS);
    expect(await reason('a.test')).toBe('host_not_allowed');
    expect(await reason('b.test')).toBe('address_not_allowed');
    expect(two.hash()).toBe(first);
    two.pull();
    await eventually(() => two.hash() === second, LIMIT_MS);

    push('agents.yaml', 'version: 1\ngroup: agents\nrules: [{ allow: "*.com" }]\n');
    one.pull();
    const valid = 'sallyport_policy_last_reload_successful';
    await eventually(async () => (await one.world.metrics()).includes(`${valid} 0\n`), LIMIT_MS);
    expect(one.hash()).toBe(second);
    expect(await reason('b.test')).toBe('address_not_allowed');
    git(desk, 'revert', '--no-edit', 'HEAD');
    git(desk, 'push', 'origin', 'HEAD:main');
    one.pull();
    await eventually(async () => (await one.world.metrics()).includes(`${valid} 1\n`), LIMIT_MS);
    expect(one.hash()).toBe(second);
  }, 120_000);
});
