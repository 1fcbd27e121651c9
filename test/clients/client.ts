/**
 * A suite that drives one real client. The client is found by asking for its version, in the environment that a
 * sandbox has; a machine that lacks it skips the suite by name (never in CI), and the run's summary says so.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';
import { noteClient } from '../helpers/clients-summary.ts';
import { programPath } from './sandbox.ts';

export type ClientProgram = {
  readonly name: string;
  /** shell command that prints the version, and fails where the client or something it needs is missing */
  readonly version: string;
};

/** A program of `programs/`, as a path for a shell. */
export function programFile(name: string): string {
  return fileURLToPath(new URL(`programs/${name}`, import.meta.url));
}

export function describeClient({ name, version }: ClientProgram, title: string, body: () => void): void {
  const asked = spawnSync('sh', ['-c', version], {
    encoding: 'utf8',
    env: { PATH: programPath(), HOME: '/nonexistent' },
  });
  const found = asked.status === 0 ? versionIn(asked.stdout + asked.stderr) : null;
  noteClient(name, found);
  if (found !== null) describe(title, body);
  else if (process.env['SALLYPORT_NO_SKIP'] === '1') throw new Error(`${name}: \`${version}\` fails here`);
  else describe.skip(`${title} (not installed: ${name})`, body);
}

function versionIn(text: string): string {
  return /\d+\.\d+[\w.+-]*/.exec(text)?.[0] ?? 'of unknown version';
}
