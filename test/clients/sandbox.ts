/**
 * What a sandbox looks like from outside: an empty environment, the two certificate files where images keep them,
 * and nothing else but the lines that `/env` prints. The files stand in a folder of the test; paths in the printed
 * lines are moved there, because a test must not write to /etc.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { askOnce } from '../helpers/talk.ts';
import type { World } from '../helpers/world.ts';

export type Ran = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

export type Sandbox = {
  readonly home: string;
  /** runs a shell script; `$proxy` is the proxy's URL, `$setup` a script that does what an image does */
  run(script: string, from?: { token?: string }): Promise<Ran>;
};

const LIMIT_MS = 30_000;

/** `PATH` and `HOME` are all that the clean environment has before `eval`. */
export async function makeSandbox(world: World): Promise<Sandbox> {
  const home = path.join(world.dir, 'home');
  const trust = path.join(home, 'trust');
  mkdirSync(trust, { recursive: true });
  for (const [page, file] of [
    ['/ca.pem', 'ca.crt'],
    ['/bundle.pem', 'bundle.crt'],
  ] as const) {
    const reply = await askOnce(world.port, `GET ${page} HTTP/1.1\r\nHost: sallyport\r\n\r\n`);
    writeFileSync(path.join(trust, file), reply.body);
  }
  return {
    home,
    run: (script, from = {}) => {
      const user = from.token === undefined ? '' : `any:${from.token}@`;
      const prelude = [
        'set -e',
        `text=$(curl -fsS "http://${user}127.0.0.1:${world.port}/env")`,
        `eval "$(printf '%s\\n' "$text" | sed 's#/etc/sallyport#${trust}#g')"`,
      ].join('\n');
      return execute('sh', ['-c', `${prelude}\n${script}`], { PATH: process.env['PATH'] ?? '', HOME: home });
    },
  };
}

function execute(program: string, args: readonly string[], env: Record<string, string>): Promise<Ran> {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>();
  const child = spawn(program, args, {
    env,
    cwd: env['HOME'],
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString();
  });
  child.on('error', reject);
  child.on('close', (status) => resolve({ status, stdout, stderr }));
  return promise;
}
