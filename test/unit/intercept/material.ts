/** Folders, clocks, hosts and foreign CAs for the certificate tests; nothing of it is ever committed. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import type { Authority, Host, HostKind } from '../../../src/flow/target.ts';

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

const made: string[] = [];
afterAll(() => {
  for (const dir of made) rmSync(dir, { recursive: true, force: true });
});

/** A folder of its own for each call, removed when the file's tests are done. */
export function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-ca-'));
  made.push(dir);
  return dir;
}

export function at(host: string, kind: HostKind = 'name', port = 443): Authority {
  return { host: host as Host, kind, port };
}

/** A clock that the test moves by hand. */
export function heldClock(start: number): Clock & { set(ms: number): void } {
  let now = start;
  return {
    now: () => now,
    mono: () => now,
    set: (ms) => {
      now = ms;
    },
  };
}

/** Labels of 63 octets up to exactly `length` octets. */
export function longName(length: number): string {
  let name = '';
  while (name.length < length) {
    const left = length - name.length - (name === '' ? 0 : 1);
    name += `${name === '' ? '' : '.'}${'a'.repeat(Math.min(63, left))}`;
  }
  return name;
}

/** Runs a tool; gives its exit status and both outputs together. */
export function run(command: string, args: string[]): { status: number; output: string } {
  try {
    return {
      status: 0,
      output: execFileSync(command, args, { encoding: 'utf8', input: '', stdio: 'pipe', timeout: 15_000 }),
    };
  } catch (error) {
    const failed = error as { status?: number; stdout?: string; stderr?: string; message: string };
    return {
      status: failed.status ?? -1,
      output: `${failed.stdout ?? ''}${failed.stderr ?? ''}${failed.message}`,
    };
  }
}

/** Strict flags are Python 3.13's default: the first interpreter that new, pyenv's included; `undefined` if none. */
export function findStrictPython(): string | undefined {
  const pyenv = join(homedir(), '.pyenv', 'versions');
  const installed = existsSync(pyenv) ? readdirSync(pyenv).filter((name) => /^3\.1[3-9]/.test(name)) : [];
  const named = ['python3', 'python3.13', 'python3.14'];
  return [...named, ...installed.map((name) => join(pyenv, name, 'bin', 'python3'))].find((command) =>
    hasTool(command, ['-c', 'import ssl, sys; sys.exit(sys.version_info < (3, 13))']),
  );
}

export function hasTool(command: string, args: string[]): boolean {
  return run(command, args).status === 0;
}

export type ForeignCa = {
  /** arguments of `openssl genpkey` or `openssl ecparam` kind, as `-newkey` takes them */
  newkey: string[];
  days?: string;
  extensions?: string[];
  subject?: string;
};

/** Writes an operator's own CA into `dir` with the openssl command. */
export function foreignCa(dir: string, ca: ForeignCa): void {
  const extensions = ca.extensions ?? [
    'basicConstraints=critical,CA:TRUE',
    'keyUsage=critical,keyCertSign,cRLSign',
  ];
  const config = join(dir, 'openssl.cnf');
  writeFileSync(
    config,
    `[req]\ndistinguished_name=dn\nx509_extensions=x\nprompt=no\n[dn]\nCN=${ca.subject ?? 'Corporate Root'}\nO=Example\n[x]\n${extensions.join('\n')}\n`,
  );
  const files = ['-keyout', join(dir, 'ca.key'), '-out', join(dir, 'ca.pem')];
  const made = run('openssl', [
    'req',
    '-x509',
    '-nodes',
    '-newkey',
    ...ca.newkey,
    '-days',
    ca.days ?? '30',
    '-config',
    config,
    ...files,
  ]);
  if (made.status !== 0) throw new Error(made.output);
}
