/** Secrets that the environment hands to the proxy: in a variable, or in a file, as Docker, Kubernetes and systemd do it. */
import { readFileSync } from 'node:fs';

export type Environment = Readonly<Record<string, string | undefined>>;

const MAX_SECRET_CHARACTERS = 4_096;

/**
 * `name`, or the first line of the file that the same name with `_FILE` names; undefined: neither is set. For a file
 * that cannot be read or is empty it throws what `fail` makes of the words.
 */
export function secretVariable(
  env: Environment,
  name: string,
  fail: (words: string, cause?: unknown) => Error,
): string | undefined {
  const direct = env[name];
  if (direct !== undefined && direct !== '') return direct;
  const path = env[`${name}_FILE`];
  if (path === undefined || path === '') return undefined;
  const line = firstLine(path, (cause) => fail(`${path}, which ${name}_FILE names, cannot be read`, cause));
  if (line === '') throw fail(`${path}, which ${name}_FILE names, is empty`);
  return line;
}

function firstLine(path: string, fail: (cause: unknown) => Error): string {
  try {
    return readFileSync(path, 'utf8').slice(0, MAX_SECRET_CHARACTERS).split(/\r?\n/)[0] ?? '';
  } catch (cause) {
    throw fail(cause);
  }
}
