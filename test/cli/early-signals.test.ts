/** Signals that come while `start` is still starting, and more of them than anybody needs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { ownEnv } from '../helpers/run-program.ts';
import { policy } from '../helpers/scene.ts';
import { eventually } from '../helpers/world.ts';
import { type Installation, installation } from './main-harness.ts';

const SCRIPT = fileURLToPath(new URL('../../src/sallyport.js', import.meta.url));

type Starting = {
  readonly child: ChildProcess;
  readonly home: Installation;
  readonly said: () => string;
  readonly gone: Promise<unknown>;
};

/** Resolves when the process has begun to make what it needs. */
async function starting(workers: number): Promise<Starting> {
  const settings = `proxy: { listen: "127.0.0.1:0", workers: ${workers} }\nadmin: { listen: "127.0.0.1:0" }\n`;
  const home = installation({ policies: { 'agents.yaml': policy([]) }, settings });
  const child = spawn(process.execPath, [SCRIPT, 'start'], {
    cwd: home.dir,
    env: ownEnv(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (said += String(bytes)));
  const gone = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await gone;
    home.remove();
  });
  await eventually(() => existsSync(join(home.dir, '.sallyport')), 50_000);
  expect(said).not.toContain('proxy  ');
  return { child, home, said: () => said, gone };
}

it.each([1, 2])(
  'a reload that is asked for during the start does not end it (workers: %i)',
  async (workers) => {
    const { child, said, gone } = await starting(workers);
    let asked = 0;
    await eventually(() => {
      child.kill('SIGHUP');
      asked += 1;
      return said().includes('proxy  ') && asked > 100;
    }, 50_000);
    child.kill('SIGTERM');
    expect(await gone).toEqual([0, null]);
    // Many at once are few: each reads every file.
    expect(said().split('"policy loaded"').length - 1).toBeLessThan(asked / 2);
  },
);

it.each([1, 2])(
  'a stop that is asked for during the start is a stop like any other (workers: %i)',
  async (workers) => {
    const { child, home, gone } = await starting(workers);
    child.kill('SIGTERM');
    expect(await gone).toEqual([0, null]);
    const left = readdirSync(join(home.dir, '.sallyport', 'audit'), { recursive: true, encoding: 'utf8' });
    expect(left).toContain('checkpoint.json');
    expect(left.filter((name) => name.endsWith('writer.lock'))).toEqual([]);
  },
);

it('a lockdown that is asked for during the start is in force when it serves', async () => {
  const { child, home, said } = await starting(1);
  child.kill('SIGUSR2');
  await eventually(() => said().includes('proxy  '), 50_000);
  await eventually(() => existsSync(join(home.dir, '.sallyport', 'lockdown.json')));
});
