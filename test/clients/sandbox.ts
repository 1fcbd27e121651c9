/**
 * What a sandbox looks like from outside: an empty environment, the files of the kit where images keep them,
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
  run(script: string, from?: { token?: string; limitMs?: number }): Promise<Ran>;
};

const LIMIT_MS = 55_000;

/** The Node of this run and Debian's programs come before what else a developer's machine has. */
export function programPath(): string {
  return `${path.dirname(process.execPath)}:/usr/bin:/bin:${process.env['PATH'] ?? ''}`;
}

/**
 * `PATH` and `HOME` are all that the clean environment has before `eval`.
 * `roots`: PEM of more roots of the bundle, standing in for public ones; each also as `trust/root-N.crt`.
 * `token`: asks for the files with it, where no address identifies a group.
 */
export async function makeSandbox(
  world: World,
  options: { roots?: readonly string[]; token?: string } = {},
): Promise<Sandbox> {
  const roots = options.roots ?? [];
  const home = path.join(world.dir, 'home');
  const trust = path.join(home, 'trust');
  mkdirSync(trust, { recursive: true });
  const { token } = options;
  const credentials = token === undefined ? '' : `Proxy-Authorization: Bearer ${token}\r\n`;
  for (const [page, file] of [
    ['/ca.pem', 'ca.crt'],
    ['/bundle.pem', 'bundle.crt'],
    ['/preload.cjs', 'preload.cjs'],
  ] as const) {
    const reply = await askOnce(world.port, `GET ${page} HTTP/1.1\r\nHost: sallyport\r\n${credentials}\r\n`);
    const more = file === 'bundle.crt' ? roots.join('') : '';
    writeFileSync(path.join(trust, file), `${reply.body.toString()}\n${more}`);
  }
  for (const [index, pem] of roots.entries()) writeFileSync(path.join(trust, `root-${index}.crt`), pem);
  return {
    home,
    run: (script, from = {}) => {
      const user = from.token === undefined ? '' : `any:${from.token}@`;
      const prelude = [
        'set -e',
        `text=$(curl -fsS "http://${user}127.0.0.1:${world.port}/env")`,
        `eval "$(printf '%s\\n' "$text" | sed 's#/etc/sallyport#${trust}#g')"`,
      ].join('\n');
      const env = { PATH: programPath(), HOME: home };
      return execute(`${prelude}\n${script}`, env, from.limitMs ?? LIMIT_MS);
    },
  };
}

function execute(script: string, env: Record<string, string>, limitMs: number): Promise<Ran> {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>();
  const child = spawn('sh', ['-c', script], {
    env,
    cwd: env['HOME'],
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limitMs,
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
