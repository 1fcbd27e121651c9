/** Runs a program to its end, with an environment of its own and a limit. */
import { spawn } from 'node:child_process';

export type Ran = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

const LIMIT_MS = 150_000;

/** `env` is all that the program has. */
export function runProgram(
  program: string,
  args: readonly string[],
  of: { env: Record<string, string>; cwd: string },
): Promise<Ran> {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>();
  const child = spawn(program, args, { ...of, stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT_MS });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (bytes: Buffer) => {
    text.stdout += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    text.stderr += bytes.toString();
  });
  child.on('error', reject);
  child.on('close', (status) => resolve({ status, ...text }));
  return promise;
}

/** Variables of this process but those that a proxy reads settings from: somebody's shell may have some for another one. */
export function ownEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(SALLYPORT|OTEL)_/.test(name)));
}
