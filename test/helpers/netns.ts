/**
 * Runs a driver script of `test/network/drive/` in a network namespace of its own, where every public address
 * is ours: nothing that a test dials can leave the machine. The driver prints one JSON value, its results.
 */
import { spawn } from 'node:child_process';
import { describe } from 'vitest';
import { hasNamespaces, hasProgram } from './programs.ts';

/** A suite that needs a namespace; its title says so when it is skipped, and in CI it never is. */
export function describeInNamespace(title: string, body: () => void): void {
  if (hasNamespaces() && hasProgram('ip')) describe(title, body);
  else describe.skip(`${title} (needs network namespaces and the program ip)`, body);
}

/** Runs `unshare -n node SCRIPT`; rejects when it fails or takes longer than `limitMs`. Ends all it started. */
export async function driveInNamespace<T>(
  script: URL,
  options: { limitMs: number; env?: Record<string, string> },
): Promise<T> {
  const child = spawn('unshare', ['-n', process.execPath, script.pathname], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    // A process group of its own: its id ends the driver and the proxies that it started.
    detached: true,
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    err += bytes.toString();
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject);
  child.once('close', (code) => resolve(code));
  const limit = setTimeout(() => endGroup(child.pid), options.limitMs);
  try {
    const code = await promise;
    if (code !== 0) throw new Error(`${script.pathname} ended with ${code}\n${err.slice(-4_000)}`);
    const report: unknown = JSON.parse(out);
    // Both ends of the pipe are ours: the driver's types say what it prints.
    return report as T;
  } finally {
    clearTimeout(limit);
    endGroup(child.pid);
  }
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Gone already, as it should be.
  }
}
