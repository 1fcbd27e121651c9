/** A real proxy whose state folder is on a small disk of its own: it fills up, is freed again, cannot be written at all. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { hasNamespaces } from '../helpers/programs.ts';
import { ownEnv, runProgram } from '../helpers/run-program.ts';
import { policy } from '../helpers/scene.ts';
import { open } from '../helpers/talk.ts';
import { httpUpstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { type Installation, installation } from './main-harness.ts';
import { type Running, startProcess } from './process-harness.ts';

const SCRIPT = fileURLToPath(new URL('../../src/sallyport.js', import.meta.url));
/** What `init` made goes to the small disk, which only the processes of this namespace see. */
const SMALL_DISK =
  'exec unshare -m sh -c \'cp -a .sallyport kept && mount -t tmpfs -o size=400k,mode=0700 none .sallyport && cp -a kept/. .sallyport && exec "$@"\' sh "$@"';
const settings = (
  workers: number,
  listen = '127.0.0.1:0',
): string => `proxy: { listen: "${listen}", workers: ${workers} }
admin: { listen: "127.0.0.1:0" }
dns: { hosts: { "web.test": [127.0.0.1] } }
`;

async function init(home: Installation): Promise<void> {
  expect((await home.run(['init'])).status).toBe(0);
}

/** Runs a start that is to fail. */
async function failed(home: Installation, through: string): Promise<string> {
  const args = ['-c', through, 'sh', process.execPath, SCRIPT, 'start'];
  const child = spawn('/bin/sh', args, { cwd: home.dir, env: ownEnv(), stdio: ['ignore', 'ignore', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (bytes) => {
    said += String(bytes);
  });
  expect(await once(child, 'close')).toEqual([1, null]);
  return said;
}

describe.skipIf(!hasNamespaces())('on a small disk', () => {
  let running: Running;
  afterEach(() => running.remove());

  it.each([1, 2])(
    'requests are refused while it is full, served when it is not, and the record is whole (workers: %i)',
    async (workers) => {
      const seen = new Set<string>();
      const upstream = await httpUpstream({
        answer: (request, response) => {
          seen.add(request.url ?? '');
          response.end('ok');
        },
      });
      onTestFinished(() => upstream.close());
      const host = `web.test:${upstream.port}`;
      running = await startProcess({
        policies: { 'agents.yaml': policy([`allow: "${host}", addresses: [127.0.0.0/8]`]) },
        settings: settings(workers),
        prepare: init,
        through: SMALL_DISK,
      });
      const { child, port, admin, said, gone } = running;
      const state = join(`/proc/${child.pid}/root`, running.home.dir, '.sallyport');
      let asked = 0;
      const ask = async (): Promise<number> => {
        const client = await open(port);
        asked += 1;
        const path = `/${asked}`;
        const { status } = await client.ask(
          `GET http://${host}${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
        );
        client.destroy();
        // What is refused for the record's sake is not passed on.
        expect(seen.has(path)).toBe(status === 200);
        return status;
      };
      expect(await ask()).toBe(200);
      expect(() => writeFileSync(join(state, 'filler'), Buffer.alloc(1_000_000))).toThrow(/ENOSPC/);
      const answers = new Set<number>();
      // Each worker must have found out.
      await eventually(async () => {
        answers.add(await ask());
        return (await admin('GET', '/readyz')).status === 503 && answers.has(503);
      });
      for (let n = 0; n < 200; n += 1) answers.add(await ask());
      expect(answers).toEqual(new Set([200, 503]));
      writeFileSync(join(state, 'filler'), '');
      await eventually(async () => (await admin('GET', '/readyz')).status === 200);
      for (let n = 0; n < 5; n += 1) expect(await ask()).toBe(200);
      // A few lines, not one for each request.
      expect(said().split('ENOSPC').length).toBeLessThan(100);
      const metrics = String((await admin('GET', '/metrics')).body);
      expect(Number(/^sallyport_audit_failures_total (\d+)/m.exec(metrics)?.[1])).toBeGreaterThan(100);
      const verify = ['audit', 'verify', '--config', join(running.home.dir, 'sallyport.yaml')];
      const { stdout } = await runProgram(
        'nsenter',
        ['-t', String(child.pid), '-m', process.execPath, SCRIPT, ...verify],
        {
          env: { PATH: process.env['PATH'] ?? '' },
          cwd: running.home.dir,
        },
      );
      expect(stdout).toMatch(/are whole/);
      child.kill('SIGTERM');
      expect(await gone).toEqual([0, null]);
    },
    90_000,
  );
});

describe('a start that cannot be', () => {
  let home: Installation;
  afterEach(() => home.remove());

  it.skipIf(!hasNamespaces())('names the file that a full disk has no room for', async () => {
    home = installation({ policies: { 'agents.yaml': policy([]) }, settings: settings(1) });
    const full =
      'mkdir .sallyport && mount -t tmpfs -o size=4k,mode=0700 none .sallyport && echo x > .sallyport/filler && exec "$@"';
    expect(await failed(home, `exec unshare -m sh -c '${full}' sh "$@"`)).toMatch(
      /ENOSPC: no space left on device, write: \S+\/\.sallyport\/\S+\n$/,
    );
  });

  it.skipIf(!hasNamespaces())('says that its state folder is read-only', async () => {
    home = installation({ policies: { 'agents.yaml': policy([]) }, settings: settings(1) });
    await init(home);
    const bound = 'mount --bind .sallyport .sallyport && mount -o remount,ro,bind .sallyport && exec "$@"';
    expect(await failed(home, `exec unshare -m sh -c '${bound}' sh "$@"`)).toMatch(
      /\/\.sallyport cannot be written \(EROFS\): put state\.dir where this user can write\n$/,
    );
  });

  it.each([1, 2])('leaves no lock behind where its port is taken (workers: %i)', async (workers) => {
    const other = net.createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    onTestFinished(() => void other.close());
    const at = other.address();
    if (at === null || typeof at === 'string') throw new Error('no port');
    home = installation({
      policies: { 'agents.yaml': policy([]) },
      settings: settings(workers, `127.0.0.1:${at.port}`),
    });
    expect(await failed(home, 'exec "$@"')).toContain('another program listens there');
    expect(existsSync(join(home.dir, '.sallyport', 'audit', 'checkpoint.json'))).toBe(true);
    expect(existsSync(join(home.dir, '.sallyport', 'audit', 'writer.lock'))).toBe(false);
  });
});
