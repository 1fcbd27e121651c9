/**
 * `sallyport doctor`: run inside a sandbox, tells whether the cage is shut and whether clients will work in it.
 * Needs no settings and no policy. Status 1 when a check failed; warnings alone are status 0.
 */
import type { Command } from 'commander';
import { type Finding, findings } from './doctor-checks.ts';
import { realOutside } from './doctor-outside.ts';
import { CliError, type CliIo } from './io.ts';

const EXAMPLES = `
Run it where the agent runs, with the agent's environment. It dials public addresses, to see that it cannot.

Examples:
  $ sallyport doctor
  $ sallyport doctor --json | jq '.[] | select(.status == "fail")'
`;

const WIDTH = { status: 8, check: 22 };

/** Adds `doctor [--json]`. */
export function addDoctor(program: Command, io: CliIo): void {
  program
    .command('doctor')
    .description(
      'inside a sandbox: is there a way out past the proxy, is the CA trusted, is there a real key',
    )
    .option('--json', 'print a JSON list of { check, status, detail, fix }')
    .addHelpText('after', EXAMPLES)
    .action(async (options: { json?: true }) => {
      const list = await findings(realOutside(io.env, io.cwd));
      io.stdout.write(options.json ? `${JSON.stringify(list, null, 2)}\n` : report(list));
      if (list.some(({ status }) => status === 'fail')) throw new CliError('');
    });
}

function report(list: readonly Finding[]): string {
  const lines = list.flatMap(({ check, status, detail, fix }) => [
    `${status.padEnd(WIDTH.status)}${check.padEnd(WIDTH.check)}${detail}`,
    ...(fix === '' ? [] : [`${' '.repeat(WIDTH.status + WIDTH.check)}-> ${fix}`]),
  ]);
  return `${lines.join('\n')}\n`;
}
