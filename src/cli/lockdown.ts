/**
 * `sallyport lockdown on|off|status`: the kill switch. It works on the state folder, so it needs neither the admin side
 * nor a proxy that answers; a running proxy follows within a second, one that starts later finds it.
 */
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { changeLockdown, EVERYBODY, type Lock, type LockdownStore } from '../state/lockdown.ts';
import { openLockdown } from '../state/lockdown-file.ts';
import { reasonText } from '../state/lockdown-schema.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, needGroup, settingsFor } from './load.ts';
import { commandUser, noteDone } from './note.ts';
import { jsonText, safe } from './terminal-text.ts';

const ON_EXAMPLES = `
Examples:
  $ sallyport lockdown on --reason 'incident 42'
  $ sallyport lockdown on --group ai-agents --reason 'odd uploads'

Also without this program: touch .sallyport/lockdown, or kill -USR2 PID of the proxy.
`;
const OFF_EXAMPLE = `
Example:
  $ sallyport lockdown off --reason 'incident 42 is over'
`;
const STATUS_EXAMPLE = `
Example:
  $ sallyport lockdown status --json
`;

const JSON_LOCKS = ['--json', 'print { locked, locks: [{ group, since, by, reason }] }'] as const;
const REASON = ['--reason <text>', 'why, for the record'] as const;
const GROUP = ['--group <group>', 'this group alone (default: all)'] as const;

type ChangeOptions = {
  readonly group?: string;
  readonly reason: string;
  readonly json?: true;
  readonly config?: string;
};
type StatusOptions = { readonly json?: true; readonly config?: string };

/** Adds `lockdown on`, `lockdown off` and `lockdown status`. */
export function addLockdown(program: Command, io: CliIo): void {
  const lockdown = program
    .command('lockdown')
    .description('the kill switch: stop all egress, or that of one group')
    .addHelpText('after', ON_EXAMPLES);
  lockdown
    .command('on')
    .description('refuse everything, end what is open')
    .option(...GROUP)
    .requiredOption(...REASON)
    .option(...JSON_LOCKS)
    .option(...CONFIG)
    .addHelpText('after', ON_EXAMPLES)
    .action((options: ChangeOptions) => change(true, options, io));
  lockdown
    .command('off')
    .description('let them out again')
    .option(...GROUP)
    .requiredOption(...REASON)
    .option(...JSON_LOCKS)
    .option(...CONFIG)
    .addHelpText('after', OFF_EXAMPLE)
    .action((options: ChangeOptions) => change(false, options, io));
  lockdown
    .command('status')
    .description('who is locked, since when, by whom and why')
    .option(...JSON_LOCKS)
    .option(...CONFIG)
    .addHelpText('after', STATUS_EXAMPLE)
    .action((options: StatusOptions) => status(options, io));
}

async function change(on: boolean, options: ChangeOptions, io: CliIo): Promise<void> {
  const settings = settingsFor(options.config, io);
  const { dir } = settings.state;
  const group = options.group ?? EVERYBODY;
  const { reason } = options;
  if (!reasonText.safeParse(reason).success) throw new CliError('--reason takes one line of text', 2);
  if (on) needGroup(settings, group);
  const store = openLockdown({ dir, clock: systemClock, watch: false });
  try {
    const { changed, problem } = await changeLockdown(store, { on, group, by: commandUser(), reason });
    if (problem !== null) throw new CliError(`nothing was changed: ${problem}`);
    if (changed) {
      const action = on ? 'lockdown.on' : 'lockdown.off';
      noteDone(dir, { action, group, subject: null, why: reason }, io);
    }
    if (options.json) return void io.stdout.write(`${jsonText(viewOf(store))}\n`);
    const whom = group === EVERYBODY ? 'everybody' : group;
    if (!changed) io.stdout.write(`No change: ${whom} ${on ? 'was locked already' : 'was not locked'}.\n`);
    else if (on)
      io.stdout.write(`Locked: ${whom}. A running proxy has ended what is open within a second.\n`);
    else io.stdout.write(`Let go: ${whom}.\n`);
    return printLocks(store, io);
  } finally {
    store.close();
  }
}

function status(options: StatusOptions, io: CliIo): void {
  const { state } = settingsFor(options.config, io);
  const store = openLockdown({ dir: state.dir, clock: systemClock, watch: false });
  if (options.json) io.stdout.write(`${jsonText(viewOf(store))}\n`);
  else printLocks(store, io);
  store.close();
}

function viewOf(store: LockdownStore): { locked: boolean; locks: readonly Lock[] } {
  const locks = store.locks();
  return { locked: locks.some(({ group }) => group === EVERYBODY), locks };
}

function printLocks(store: LockdownStore, io: CliIo): void {
  const locks = store.locks();
  if (locks.length === 0) return void io.stdout.write('Nobody is locked down.\n');
  for (const lock of locks) {
    const whom = lock.group === EVERYBODY ? 'everybody' : safe(lock.group);
    io.stdout.write(`${whom}  locked since ${lock.since} by ${safe(lock.by)}: ${safe(lock.reason) || '-'}\n`);
  }
  return undefined;
}
