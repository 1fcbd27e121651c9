/** `operator` on the command line, and what the running admin side makes of it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { policy } from '../helpers/scene.ts';
import { eventually } from '../helpers/world.ts';
import { type Running, startProcess } from './process-harness.ts';

const LIMIT_MS = 60_000;

describe('operators', () => {
  let running: Running;
  beforeAll(async () => {
    running = await startProcess({
      policies: { 'agents.yaml': policy([]) },
      settings: 'proxy: { listen: "127.0.0.1:0" }\nadmin: { listen: "127.0.0.1:0" }\n',
    });
  }, LIMIT_MS);
  afterAll(() => running.remove());

  const statusWith = async (token: string, method = 'GET', path = '/api/v1/me'): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`${running.adminUrl}${path}`, { method, headers })).status;
  };

  it(
    'come and go while the proxy runs; each is recorded under the user’s name, no token in it',
    async () => {
      const { home } = running;
      const added = await home.run(['operator', 'add', 'ann', '--role', 'viewer']);
      expect([added.status, added.out]).toEqual([0, added.out.trim().concat('\n')]);
      const token = added.out.trim();
      await eventually(async () => (await statusWith(token)) === 200);
      expect(await statusWith(token, 'POST', '/api/v1/reload')).toBe(403);
      const listed = await home.run(['operator', 'list', '--json']);
      expect(JSON.parse(listed.out)).toMatchObject([
        { name: 'ann', role: 'viewer', revoked: null, totp: false },
      ]);
      const factor = await home.run(['operator', 'totp', 'ann']);
      expect(factor.out).toMatch(/^otpauth:\/\/totp\/Sallyport:ann\?/);
      expect((await home.run(['operator', 'list'])).out).toMatch(/ann .*viewer .*with TOTP/);
      expect((await home.run(['operator', 'revoke', 'ann'])).status).toBe(0);
      await eventually(async () => (await statusWith(token)) === 401);
      const actions = await eventually(() => {
        const found = running
          .records()
          .filter(({ kind, action }) => kind === 'operator' && action !== 'login');
        return found.length === 4 && found;
      }, LIMIT_MS);
      const ofCommands = actions.filter(({ origin }) => origin === 'cli');
      expect(ofCommands.map(({ action, subject }) => [action, subject])).toEqual([
        ['operator.add', 'ann'],
        ['operator.totp', 'ann'],
        ['operator.revoke', 'ann'],
      ]);
      expect(String(ofCommands[0]?.['operator'])).toMatch(/^cli:/);
      // What her role did not let her do.
      expect(actions.find(({ origin }) => origin === 'api')).toMatchObject({
        operator: 'ann',
        outcome: 'refused',
      });
      // Her token before the proxy knew of it, and after it was revoked.
      const strangers = running.records().filter(({ action }) => action === 'login');
      expect(strangers.length).toBeGreaterThan(0);
      const written = JSON.stringify(running.records()) + running.said();
      expect(written).not.toContain(token);
      expect(written).not.toContain(/secret=(\w+)/.exec(factor.out)?.[1] ?? 'none');
    },
    LIMIT_MS,
  );

  it.each([
    ['a role that there is not', ['operator', 'add', 'bob', '--role', 'god'], 2],
    ['no role', ['operator', 'add', 'bob'], 2],
    ['a name that is none', ['operator', 'add', 'B o b', '--role', 'viewer'], 1],
    ['nobody to revoke', ['operator', 'revoke', 'nobody'], 1],
    ['nobody to enrol', ['operator', 'totp', 'nobody'], 1],
  ])('%s is refused', async (_title, args, status) => {
    const ran = await running.home.run(args);
    expect([ran.status, ran.out]).toEqual([status, '']);
  });

  it('leave the built-in admin alone', async () => {
    const token = readFileSync(join(running.home.dir, '.sallyport', 'admin.token'), 'utf8').trim();
    expect(await statusWith(token, 'GET', '/api/v1/operators')).toBe(200);
  });
});
