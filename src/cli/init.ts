/** `sallyport init`: makes the CA, the vault key, the placeholder key and the admin token, where missing. */
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { ensureInstall } from './install.ts';
import type { CliIo } from './io.ts';
import { CONFIG, settingsFor } from './load.ts';

const EXAMPLES = `
Examples:
  $ sallyport init
  $ sallyport init --config /etc/sallyport/sallyport.yaml --json

Safe to repeat: nothing that exists is replaced. \`sallyport start\` does the same first.
`;

type InitOptions = { json?: true; config?: string };

/** Adds `init [--json] [--config F]`. */
export function addInit(program: Command, io: CliIo): void {
  program
    .command('init')
    .description('make the CA, the vault key and the admin token, where missing')
    .option('--json', 'print [{ what, path, created }]')
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((options: InitOptions) => {
      const { steps } = ensureInstall(settingsFor(options.config, io), {
        now: systemClock.now(),
        env: io.env,
      });
      const line = ({ what, path, created }: (typeof steps)[number]): string =>
        `${created ? 'made' : 'kept'}  ${what.padEnd(16)}  ${path}`;
      io.stdout.write(
        options.json ? `${JSON.stringify(steps, null, 2)}\n` : `${steps.map(line).join('\n')}\n`,
      );
    });
}
