/**
 * `sallyport operator add|list|revoke|totp`: the people who may use the admin side. A token is shown once, here; the
 * state folder keeps its hash. A running proxy follows within a second.
 */
import { type Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { ROLES, type Role } from '../base/operator.ts';
import { OperatorError } from '../operators/file.ts';
import { type OperatorStore, openOperators } from '../operators/store.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, settingsFor } from './load.ts';
import { commandUser, noteAction } from './note.ts';
import { jsonText } from './terminal-text.ts';

const ADD_EXAMPLES = `
Examples:
  $ sallyport operator add ann --role approver
  $ TOKEN=$(sallyport operator add grafana --role viewer)

Roles: viewer reads; approver also decides held requests and locks down; admin does everything.
`;
const LIST_EXAMPLE = `
Example:
  $ sallyport operator list --json
`;
const REVOKE_EXAMPLE = `
Example:
  $ sallyport operator revoke ann
`;
const TOTP_EXAMPLE = `
Example:
  $ sallyport operator totp ann | qrencode -t ansiutf8

The built-in operator of admin.token is called admin.
`;

type Options = { readonly json?: true; readonly config?: string };

/** Adds `operator add`, `operator list`, `operator revoke` and `operator totp`. */
export function addOperator(program: Command, io: CliIo): void {
  const operator = program
    .command('operator')
    .description('the people who may use the admin side')
    .addHelpText('after', ADD_EXAMPLES);
  operator
    .command('add')
    .description('let somebody in; prints their token, once')
    .argument('<name>', 'as records are to call them')
    .addOption(new Option('--role <role>', 'what they may do').choices([...ROLES]).makeOptionMandatory())
    .option('--json', 'print { name, role, token }')
    .option(...CONFIG)
    .addHelpText('after', ADD_EXAMPLES)
    .action((name: string, options: Options & { role: Role }) => add(name, options, io));
  operator
    .command('list')
    .description('all operators, revoked ones too')
    .option('--json', 'print [{ name, role, created, revoked, totp }]')
    .option(...CONFIG)
    .addHelpText('after', LIST_EXAMPLE)
    .action((options: Options) => list(options, io));
  operator
    .command('revoke')
    .description('let somebody in no more')
    .argument('<name>', 'as `operator list` shows it')
    .option('--json', 'print { name, revoked }')
    .option(...CONFIG)
    .addHelpText('after', REVOKE_EXAMPLE)
    .action((name: string, options: Options) => revoke(name, options, io));
  operator
    .command('totp')
    .description('a new second factor; prints its otpauth:// URI, once')
    .argument('<name>', 'as `operator list` shows it, or admin')
    .option(...CONFIG)
    .addHelpText('after', TOTP_EXAMPLE)
    .action((name: string, options: Options) => totp(name, options, io));
}

function add(name: string, options: Options & { role: Role }, io: CliIo): void {
  const { role } = options;
  const token = using(options, io, (store, dir) => {
    const made = store.add(name, role, commandUser());
    noteAction(dir, { action: 'operator.add', group: null, subject: name, why: `role ${role}` });
    return made;
  });
  if (options.json) return void io.stdout.write(`${jsonText({ name, role, token })}\n`);
  io.stderr.write(`${name} may use the admin side as ${role}. The token is not shown again:\n`);
  return void io.stdout.write(`${token}\n`);
}

function list(options: Options, io: CliIo): void {
  const all = using(options, io, (store) => store.list());
  if (options.json) return void io.stdout.write(`${jsonText(all, 2)}\n`);
  if (all.length === 0) io.stdout.write('No operators beside the built-in admin.\n');
  for (const { name, role, created, revoked, totp: factor } of all) {
    const state = revoked === null ? `since ${created}` : `revoked ${revoked}`;
    io.stdout.write(`${name.padEnd(24)}  ${role.padEnd(8)}  ${state}${factor ? '  with TOTP' : ''}\n`);
  }
  return undefined;
}

function revoke(name: string, options: Options, io: CliIo): void {
  const revoked = using(options, io, (store, dir) => {
    if (!store.revoke(name, commandUser()))
      throw new CliError(`there is no operator ${JSON.stringify(name)}`);
    noteAction(dir, { action: 'operator.revoke', group: null, subject: name, why: null });
    return store.list().find((one) => one.name === name)?.revoked ?? null;
  });
  if (options.json) io.stdout.write(`${jsonText({ name, revoked })}\n`);
  else io.stdout.write(`Revoked ${name}.\n`);
}

function totp(name: string, options: Options, io: CliIo): void {
  const uri = using(options, io, (store, dir) => {
    const made = store.enrol(name, commandUser());
    noteAction(dir, { action: 'operator.totp', group: null, subject: name, why: null });
    return made;
  });
  io.stderr.write(`The second factor of ${name}; one of before is void. It is not shown again:\n`);
  io.stdout.write(`${uri}\n`);
}

/** Opens the store for one command; trouble with its file is the command's error. */
function using<T>(options: Options, io: CliIo, work: (store: OperatorStore, dir: string) => T): T {
  const { dir } = settingsFor(options.config, io).state;
  let trouble = '';
  const onProblem = (message: string): void => {
    trouble = message;
  };
  const store = openOperators({ dir, clock: systemClock, watch: false, onProblem });
  try {
    if (trouble !== '') throw new CliError(`no operator gets in while this file is broken: ${trouble}`);
    return work(store, dir);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    throw new CliError(error.message, 1, { cause: error });
  } finally {
    store.close();
  }
}
