/**
 * A stand-in for `api-stronghold-cli`, which cannot be had here: a shell script of that name that behaves as the vendor's
 * article describes it. Logged in by `~/.api-stronghold/config.yaml`; `deployment env-file NAME --stdout` prints
 * `export` lines and nothing else. What it does not know of the real one: how that quotes unusual values.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SCRIPT = `#!/bin/sh
echo run >>"$HOME/runs"
if [ -e "$HOME/hang" ]; then sleep 600; fi
if [ -e "$HOME/down" ]; then echo 'Error: request to server.apistronghold.com failed' >&2; exit 1; fi
if ! grep -q '^api-user-token: ' "$HOME/.api-stronghold/config.yaml" 2>/dev/null; then
  echo "Not logged in. Run 'api-stronghold-cli login'" >&2
  exit 1
fi
if [ "$1 $2 $4" != 'deployment env-file --stdout' ]; then echo 'unknown command' >&2; exit 1; fi
if [ ! -e "$HOME/deployments/$3" ]; then echo 'deployment not found' >&2; exit 1; fi
cat "$HOME/deployments/$3"
`;

export type StandIn = {
  /** for the proxy */
  readonly env: Readonly<Record<string, string>>;
  /** what the CLI prints for the deployment from now on */
  prints(deployment: string, lines: string | Buffer): void;
  /** the service behind it does not answer, or hangs */
  set(state: 'up' | 'down' | 'hang'): void;
  logOut(): void;
  /** file to which each run adds a line */
  readonly runs: string;
};

export function standInStronghold(dir: string): StandIn {
  const home = join(dir, 'home');
  mkdirSync(join(home, '.api-stronghold'), { recursive: true });
  mkdirSync(join(home, 'deployments'));
  mkdirSync(join(dir, 'bin'));
  const config = join(home, '.api-stronghold/config.yaml');
  writeFileSync(config, 'api-user-token: test\napi-url: https://server.apistronghold.com\n');
  writeFileSync(join(dir, 'bin/api-stronghold-cli'), SCRIPT, { mode: 0o755 });
  return {
    env: { PATH: `${join(dir, 'bin')}:${process.env['PATH'] ?? ''}`, HOME: home },
    prints: (deployment, lines) => writeFileSync(join(home, 'deployments', deployment), lines),
    set: (state) => {
      for (const name of ['down', 'hang']) rmSync(join(home, name), { force: true });
      if (state !== 'up') writeFileSync(join(home, state), '');
    },
    logOut: () => rmSync(config),
    runs: join(home, 'runs'),
  };
}

/** As a careful program writes a value for a shell. */
export function shellQuoted(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`;
}
