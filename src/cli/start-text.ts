/** What `start` says when it runs, and when it cannot. */
import path from 'node:path';
import { errorCode } from '../base/error-code.ts';
import type { Endpoint, Settings } from '../config/settings.ts';
import type { PolicySet } from '../policy/model.ts';
import { CliError } from './io.ts';

/** `set`: the policy in force; null: none could be loaded. */
export function greeting(
  settings: Settings,
  at: {
    readonly version: string;
    readonly proxy: Endpoint;
    readonly admin: Endpoint;
    readonly set: PolicySet | null;
    readonly workers: number;
  },
): string {
  const url = `http://${text(at.proxy)}`;
  const { set } = at;
  const policy =
    set === null
      ? 'NOT LOADED: every request is refused until the errors above are mended'
      : `${set.hash}, ${set.groups.size} ${set.groups.size === 1 ? 'group' : 'groups'}: ${[...set.groups.keys()].join(', ')}`;
  return [
    `Sallyport ${at.version}`,
    `  proxy   ${url}${at.workers > 1 ? `   ${at.workers} workers` : ''}`,
    `  admin   http://${text(at.admin)}   token in ${path.relative(process.cwd(), path.join(settings.state.dir, 'admin.token'))}`,
    `  policy  ${policy}`,
    '',
    'In a sandbox, or in a shell on this machine:',
    `  eval "$(curl -fsS --noproxy '*' ${url}/env)"`,
    '',
    '',
  ].join('\n');
}

function text({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A start that fails for a reason that an operator can mend is no crash. */
export function toCliError(error: unknown): never {
  if (error instanceof CliError || !(error instanceof Error)) throw error;
  const advice = ADVICE.get(errorCode(error));
  throw new CliError(advice === undefined ? error.message : `${error.message}; ${advice}`, 1, {
    cause: error,
  });
}

const ADVICE: ReadonlyMap<string, string> = new Map([
  ['EADDRINUSE', 'another program listens there: choose another address in sallyport.yaml'],
  ['ENOTSUP', 'this system does not let processes share a port: set proxy.workers to 1'],
]);
