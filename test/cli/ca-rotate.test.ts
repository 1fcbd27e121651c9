/**
 * `ca rotate` while two workers serve: curl, openssl and clients of /install.sh through every step, with the bundle of
 * before and the bundle of now. No restart, no connection cut.
 */
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { markOf } from '../../src/accept/export-script.ts';
import { describeWith } from '../helpers/programs.ts';
import { runProgram } from '../helpers/run-program.ts';
import { intercepted, policy } from '../helpers/scene.ts';
import { askOnce, connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, upstreamAuthority } from '../helpers/world.ts';
import { type Running, startProcess } from './process-harness.ts';

const LIMIT_MS = 60_000;

describeWith(['curl', 'openssl'], 'ca rotate', () => {
  let web: Upstream;
  let running: Running;
  let at = '';

  beforeAll(async () => {
    web = await httpUpstream({ name: 'api.test' });
    at = `api.test:${web.port}`;
    running = await startProcess({
      policies: { 'agents.yaml': policy([intercepted(at)]) },
      settings: `proxy: { listen: "127.0.0.1:0", workers: 2 }
admin: { listen: "127.0.0.1:0" }
tls: { extra_ca: [upstream.pem] }
dns: { hosts: { "api.test": [127.0.0.1] } }
`,
      prepare: async (home) => writeFileSync(join(home.dir, 'upstream.pem'), upstreamAuthority().certPem),
    });
  }, LIMIT_MS);
  afterAll(async () => {
    await running.remove();
    await web.close();
  });

  const fetched = async (path: string): Promise<string> => {
    const reply = await askOnce(running.port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n`);
    return reply.body.toString();
  };
  const counted = (pem: string): number => pem.split('BEGIN CERTIFICATE').length - 1;
  const save = (name: string, text: string): string => {
    const file = join(running.home.dir, name);
    writeFileSync(file, text);
    return file;
  };
  /** Does curl trust what it is shown; the kernel gives each connection to either worker. */
  const curl = async (bundle: string): Promise<boolean> => {
    const proxy = `http://127.0.0.1:${running.port}`;
    const args = ['-fsS', '-m', '20', '-x', proxy, '--cacert', bundle, `https://${at}/curl`];
    const ran = await runProgram('curl', args, { env: { PATH: '/usr/bin:/bin' }, cwd: running.home.dir });
    if (ran.status !== 0) expect(ran.stderr).toMatch(/certificate/i);
    return ran.status === 0 && ran.stdout === 'GET /curl 0';
  };
  const curls = (bundle: string): Promise<boolean[]> => Promise.all([1, 2, 3, 4].map(() => curl(bundle)));
  const issuer = async (bundle: string): Promise<string> => {
    const proxy = `127.0.0.1:${running.port}`;
    const asked = `openssl s_client -proxy ${proxy} -connect ${at} -servername api.test -CAfile ${bundle} -verify_return_error -verify_hostname api.test </dev/null`;
    const ran = await runProgram('sh', ['-c', asked], {
      env: { PATH: '/usr/bin:/bin' },
      cwd: running.home.dir,
    });
    return ran.status === 0 ? (/issuer=.*?(Sallyport CA \w+)/.exec(ran.stdout)?.[1] ?? 'unknown') : 'refused';
  };
  const rotate = async (...args: string[]): Promise<unknown> => {
    const ran = await running.home.run(['ca', 'rotate', ...args, '--json']);
    expect([ran.status, ran.err]).toEqual([0, '']);
    const value: unknown = JSON.parse(ran.out);
    return value;
  };
  /** Both workers have followed: each of several answers says so. */
  const published = (count: number, mark: string): Promise<true> =>
    eventually(async () => {
      const answers = await Promise.all([1, 2, 3, 4, 5, 6].map(() => fetched('/ca.pem')));
      return answers.every((pem) => counted(pem) === count && pem.includes(mark));
    }, LIMIT_MS);
  const signs = (bundle: string, name: string): Promise<true> =>
    eventually(async () => {
      const seen = await Promise.all([1, 2, 3, 4, 5, 6].map(() => issuer(bundle)));
      return seen.every((one) => one === name);
    }, LIMIT_MS);
  const nameOf = (pem: string): string => /CN=(.*)/.exec(new X509Certificate(pem).subject)?.[1] ?? 'no name';

  it(
    'cuts nobody off who fetched the bundle between two steps, and needs no restart',
    async () => {
      const oldCa = await fetched('/ca.pem');
      const before = save('before.pem', await fetched('/bundle.pem'));
      const held: Talk = await connectTls(running.port, at, { ca: oldCa });
      const ask = async (): Promise<number> =>
        (await held.ask(`GET /held HTTP/1.1\r\nHost: ${at}\r\n\r\n`)).status;
      expect(await ask()).toBe(200);
      expect(await curls(before)).toEqual([true, true, true, true]);

      // Announced: whoever has the bundle of before, and whoever fetches it now.
      expect(await rotate()).toMatchObject({ change: 'announced', other: { file: /ca-next\.pem$/ } });
      await published(2, oldCa.trim());
      const [newCa = ''] = (await fetched('/ca.pem')).split(/(?<=-----END CERTIFICATE-----\n)/);
      const both = save('both.pem', await fetched('/bundle.pem'));
      expect(await fetched('/bundle.pem')).toContain(newCa.trim());
      await signs(before, nameOf(oldCa));
      expect(await curls(both)).toEqual([true, true, true, true]);
      // A sandbox that has the old one alone is told by the mark of the new one that it should fetch.
      expect(await fetched('/env')).toContain(markOf(newCa));

      // Switched: the bundle of both works, that of before no longer does.
      expect(await rotate('--switch')).toMatchObject({ change: 'switched' });
      await signs(both, nameOf(newCa));
      expect(await curls(both)).toEqual([true, true, true, true]);
      expect(await curls(before)).toEqual([false, false, false, false]);
      expect(await ask()).toBe(200);
      const shown = await running.home.run(['ca', 'show']);
      expect(shown.out).toMatch(/^change +switched$/m);

      // Finished: the new one is alone.
      expect(await rotate('--finish')).toMatchObject({ change: null, other: null });
      await published(1, newCa.trim());
      const after = save('after.pem', await fetched('/bundle.pem'));
      expect(await curls(after)).toEqual([true, true, true, true]);
      expect(await curls(both)).toEqual([true, true, true, true]);
      expect(await ask()).toBe(200);
      held.socket.destroy();

      const again = await running.home.run(['ca', 'rotate', '--finish']);
      expect(again).toMatchObject({ status: 1 });
      expect(again.err).toContain('no change of the CA is under way');
      const recorded = await eventually(() => {
        const found = running.records().filter(({ action }) => String(action).startsWith('ca.'));
        return found.length === 3 && found;
      }, LIMIT_MS);
      const fingerprint = new X509Certificate(newCa).fingerprint256;
      expect(recorded.map(({ action, subject, outcome }) => [action, subject, outcome])).toEqual([
        ['ca.announce', fingerprint, 'done'],
        ['ca.switch', fingerprint, 'done'],
        ['ca.finish', fingerprint, 'done'],
      ]);
      await eventually(async () => (await metric('sallyport_ca_change')) === null, LIMIT_MS);
    },
    2 * LIMIT_MS,
  );

  const metric = async (name: string): Promise<string | null> => {
    const { body } = await running.admin('GET', '/metrics');
    return new RegExp(`^${name}(?:{.*})? .*$`, 'm').exec(String(body))?.[0] ?? null;
  };

  it(
    'shows how far it is, and goes back',
    async () => {
      await rotate();
      await eventually(async () => (await metric('sallyport_ca_change')) !== null, LIMIT_MS);
      expect(await metric('sallyport_ca_change')).toBe('sallyport_ca_change{stage="announced"} 1');
      const env = await running.home.run(['env', '--group', 'agents', '--proxy', 'http://sallyport:8080']);
      const shown = await running.home.run(['ca', 'show', '--pem']);
      expect(counted(shown.out)).toBe(2);
      expect(env.status).toBe(0);
      expect(env.out).toContain(markOf(shown.out));
      await rotate('--cancel');
      await eventually(async () => (await metric('sallyport_ca_change')) === null, LIMIT_MS);
      await published(1, '');
    },
    2 * LIMIT_MS,
  );

  it(
    'keeps the CA in force while the files are not a sound one, and says so once',
    async () => {
      const file = join(running.home.dir, 'certs', 'ca.pem');
      const sound = await fetched('/ca.pem');
      writeFileSync(file, 'no certificate\n');
      await eventually(() => running.said().includes('interception CA: the one in force stays'), LIMIT_MS);
      expect(await fetched('/ca.pem')).toBe(sound);
      expect(await curls(save('sound.pem', sound))).toEqual([true, true, true, true]);
      writeFileSync(file, sound);
      const said = running.said().split('the one in force stays').length - 1;
      // One line of each worker.
      expect(said).toBeLessThanOrEqual(2);
    },
    LIMIT_MS,
  );
});
