/** `start` when nobody reads what it says: a log collector that ended or hangs, a full disk behind the log, a reader of the greeting that left. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { ownEnv } from '../helpers/run-program.ts';
import { policy } from '../helpers/scene.ts';
import { eventually } from '../helpers/world.ts';
import { installation } from './main-harness.ts';
import { type Running, startProcess } from './process-harness.ts';

const SCRIPT = fileURLToPath(new URL('../../src/sallyport.js', import.meta.url));
const policies = { 'agents.yaml': policy([]) };
const settings = (workers: number): string =>
  `proxy: { listen: "127.0.0.1:0", workers: ${workers}, drain: 1s }\nadmin: { listen: "127.0.0.1:0" }\n`;

describe('start goes on', () => {
  let running: Running;
  afterEach(() => running.remove());

  /** Reloads a policy that is good and one that is bad: both are told in the log. */
  const speak = async (): Promise<void> => {
    const { admin, home } = running;
    expect(await admin('POST', '/api/v1/reload')).toMatchObject({ status: 200 });
    writeFileSync(join(home.dir, 'policies', 'agents.yaml'), 'rules: 1\n');
    expect(await admin('POST', '/api/v1/reload')).toMatchObject({ status: 422 });
    writeFileSync(join(home.dir, 'policies', 'agents.yaml'), policies['agents.yaml']);
    expect(await admin('POST', '/api/v1/reload')).toMatchObject({ status: 200 });
  };

  it.each([
    ['ended', 1, 'exec "$@"'],
    ['ended', 2, 'exec "$@"'],
    ['ran out of disk', 1, 'exec "$@" 2>/dev/full'],
  ])(
    'when what its log goes to has %s (workers: %i)',
    async (how, workers, through) => {
      running = await startProcess({ policies, settings: settings(workers), through });
      const { child, admin, gone } = running;
      if (how === 'ended') for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      await speak();
      await speak();
      expect(await admin('GET', '/readyz')).toMatchObject({ status: 200 });
      child.kill('SIGTERM');
      expect(await gone).toEqual([0, null]);
    },
    60_000,
  );

  it('when nobody reads its log, keeps a part of it, and says how much was lost', async () => {
    running = await startProcess({ policies, settings: settings(1) });
    const { child, admin, home, said, gone } = running;
    child.stderr?.pause();
    const long = 'x'.repeat(900);
    const rules = Array.from({ length: 50 }, (_, n) => `  - { allow: "*.com", ${long}${n}: 1 }`).join('\n');
    writeFileSync(join(home.dir, 'policies', 'agents.yaml'), `version: 1\ngroup: agents\nrules:\n${rules}\n`);
    for (let n = 0; n < 40; n += 1) expect((await admin('POST', '/api/v1/reload')).status).toBe(422);
    child.stderr?.resume();
    // The first line that finds room again tells.
    const lost = await eventually(async () => {
      await admin('POST', '/api/v1/reload');
      return /"lost":(\d+),"msg":"log: lines were lost, since nobody read them"/.exec(said());
    });
    expect(Number(lost[1])).toBeGreaterThan(50);
    child.kill('SIGTERM');
    expect(await gone).toEqual([0, null]);
  }, 60_000);
});

it('start serves when the reader of its greeting has left, and ends when it is told to', async () => {
  const port = await freePort();
  const home = installation({ policies, settings: settings(1).replace('127.0.0.1:0', `127.0.0.1:${port}`) });
  const child = spawn(process.execPath, [SCRIPT, 'start'], {
    cwd: home.dir,
    env: ownEnv(),
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const gone = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await gone;
    home.remove();
  });
  child.stdout.destroy();
  await eventually(async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok, 50_000);
  child.kill('SIGTERM');
  expect(await gone).toEqual([0, null]);
});
