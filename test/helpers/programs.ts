/** Real programs that tests drive: found on the machine, or the test is skipped by name (never in CI). */
import { spawnSync } from 'node:child_process';
import { describe } from 'vitest';

/** Is the program on the PATH? With SALLYPORT_NO_SKIP=1 a missing one is an error. */
export function hasProgram(name: string): boolean {
  const found = spawnSync('sh', ['-c', 'command -v "$1"', 'sh', name]).status === 0;
  if (!found && process.env['SALLYPORT_NO_SKIP'] === '1') throw new Error(`${name} is not installed`);
  return found;
}

/** A suite that needs programs; its title tells which ones are missing when it is skipped. */
export function describeWith(programs: readonly string[], title: string, body: () => void): void {
  const missing = programs.filter((name) => !hasProgram(name));
  if (missing.length === 0) describe(title, body);
  else describe.skip(`${title} (not installed: ${missing.join(', ')})`, body);
}

let namespaces: boolean | null = null;

/** May this process make network namespaces? */
export function hasNamespaces(): boolean {
  namespaces ??= spawnSync('unshare', ['-n', 'true']).status === 0;
  if (!namespaces && process.env['SALLYPORT_NO_SKIP'] === '1') throw new Error('no network namespaces here');
  return namespaces;
}
