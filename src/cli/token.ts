/**
 * `sallyport token create|list|revoke`: the identities of a group. A token is shown once, here; the store
 * keeps its hash. A running proxy sees the change within a second and cuts what a revoked token had open.
 */
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { openTokenStore, type TokenRecord, type TokenStore } from '../identify/token.ts';
import { TokenStoreError } from '../identify/token-file.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, knownGroup, policiesFor, settingsFor } from './load.ts';
import { commandUser, noteAction } from './note.ts';
import { minuteOf, tableText } from './table-text.ts';
import { jsonText } from './terminal-text.ts';

const EXAMPLES = `
Examples:
  $ sallyport token create --group ai-agents --name ci-runner --expires 30d
  $ sallyport token list
  $ sallyport token revoke tok_4v7k2m9q0x3c5d8f
`;

const CREATE_EXAMPLES = `
Examples:
  $ sallyport token create --group ai-agents --name ci-runner --expires 30d
  $ TOKEN=$(sallyport token create --group ai-agents)
  $ sallyport token create --group ai-agents --json | jq -r .token
`;

const LIST_EXAMPLE = `
Example:
  $ sallyport token list --json | jq -r '.[] | select(.last_used == null) | .id'
`;

const REVOKE_EXAMPLE = `
Example:
  $ sallyport token revoke tok_4v7k2m9q0x3c5d8f
`;

type CreateOptions = { group: string; name?: string; expires?: string; json?: true; config?: string };
type ListOptions = { json?: true; config?: string };

/** Adds `token create`, `token list` and `token revoke`. */
export function addToken(program: Command, io: CliIo): void {
  const token = program
    .command('token')
    .description('issued tokens: identities of a group')
    .addHelpText('after', EXAMPLES);
  token
    .command('create')
    .description('issue a token; it is shown once and stored hashed')
    .requiredOption('--group <group>', 'the group whose rules and keys the token opens')
    .option('--name <name>', 'a label for people')
    .option('--expires <duration>', 'life time, for example 12h, 30d, 8w (default: until it is revoked)')
    .option('--json', 'print { id, group, name, token, expires }')
    .option(...CONFIG)
    .addHelpText('after', CREATE_EXAMPLES)
    .action((options: CreateOptions) => create(options, io));
  token
    .command('list')
    .description('all tokens, revoked and expired ones too')
    .option('--json', 'print [{ id, group, name, created, expires, last_used, revoked }]')
    .option(...CONFIG)
    .addHelpText('after', LIST_EXAMPLE)
    .action((options: ListOptions) => list(options, io));
  token
    .command('revoke')
    .description('end a token for good; what it has open is cut within 5 s')
    .argument('<id>', 'as `token list` shows it: tok_…')
    .option('--json', 'print { id, revoked }')
    .option(...CONFIG)
    .addHelpText('after', REVOKE_EXAMPLE)
    .action((id: string, options: ListOptions) => revoke(id, options, io));
}

function create(options: CreateOptions, io: CliIo): void {
  const expiresMs = options.expires === undefined ? undefined : durationMs(options.expires);
  const settings = settingsFor(options.config, io);
  const group = knownGroup(policiesFor(settings), options.group);
  const { record, token } = using(settings.state.dir, (store) =>
    store.create({
      group,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(expiresMs === undefined ? {} : { expiresMs }),
    }),
  );
  const { id, name, expires } = record;
  noteAction(settings.state.dir, { action: 'token.create', group, subject: id, why: null });
  if (options.json) {
    io.stdout.write(`${jsonText({ id, group, name, token, expires })}\n`);
    return;
  }
  io.stderr.write(
    `Token ${id} of group ${group}, ${expires === null ? 'valid until it is revoked' : `valid until ${expires}`}.\n` +
      `It is the password of the proxy URL (http://${encodeURIComponent(group)}:TOKEN@…) and is not shown again:\n`,
  );
  // Alone on standard output, so that `TOKEN=$(sallyport token create …)` holds it and nothing else.
  io.stdout.write(`${token}\n`);
}

function list(options: ListOptions, io: CliIo): void {
  const { state } = settingsFor(options.config, io);
  const rows = using(state.dir, (store) => store.list()).map(viewOf);
  if (options.json) io.stdout.write(`${jsonText(rows, 2)}\n`);
  else if (rows.length === 0) io.stdout.write('No tokens. `sallyport token create --group G` issues one.\n');
  else io.stdout.write(table(rows));
}

function revoke(id: string, options: ListOptions, io: CliIo): void {
  const { state } = settingsFor(options.config, io);
  const record = using(state.dir, (store) => {
    store.revoke(id, commandUser());
    return store.list().find((one) => one.id === id);
  });
  if (record === undefined)
    throw new CliError(`there is no token ${JSON.stringify(id)}; \`sallyport token list\` shows the ids`);
  noteAction(state.dir, { action: 'token.revoke', group: record.group, subject: id, why: null });
  if (options.json) io.stdout.write(`${jsonText({ id, revoked: record.revoked })}\n`);
  else io.stdout.write(`Revoked ${id}; a running proxy cuts what it has open within 5 s.\n`);
}

/** Opens the store for one command; trouble with its file is the command's error. */
function using<T>(dir: string, work: (store: TokenStore) => T): T {
  let trouble = '';
  const onProblem = (message: string): void => {
    trouble = message;
  };
  const store = openTokenStore({ dir, clock: systemClock, watch: false, onProblem });
  try {
    if (trouble !== '')
      throw new CliError(
        `no token is valid while this file is broken: ${trouble}; put back a backup, or remove it and issue tokens anew`,
      );
    return work(store);
  } catch (error) {
    if (!(error instanceof TokenStoreError)) throw error;
    throw new CliError(error.message, error.code === 'bad_argument' ? 2 : 1, { cause: error });
  } finally {
    store.close();
  }
}

type TokenView = {
  readonly id: string;
  readonly group: string;
  readonly name: string;
  readonly created: string;
  readonly expires: string | null;
  readonly last_used: string | null;
  readonly revoked: string | null;
};

/** Contract section 11; the hash stays in the store. */
function viewOf({ id, group, name, created, expires, lastUsed, revoked }: TokenRecord): TokenView {
  return { id, group, name, created, expires, last_used: lastUsed, revoked };
}

function table(rows: readonly TokenView[]): string {
  const now = systemClock.now();
  const head = ['ID', 'GROUP', 'NAME', 'STATE', 'CREATED', 'EXPIRES', 'LAST USED'];
  const cells = rows.map((row) => [
    row.id,
    row.group,
    row.name || '-',
    stateOf(row, now),
    minuteOf(row.created),
    row.expires === null ? '-' : minuteOf(row.expires),
    row.last_used === null ? '-' : minuteOf(row.last_used),
  ]);
  return tableText([head, ...cells]);
}

function stateOf(row: TokenView, now: number): string {
  if (row.revoked !== null) return 'revoked';
  return row.expires !== null && Date.parse(row.expires) <= now ? 'expired' : 'valid';
}

const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

function durationMs(text: string): number {
  const [, amount, unit = ''] = /^(\d{1,9})([smhdw])$/.exec(text) ?? [];
  const ms = Number(amount) * (UNITS[unit] ?? 0);
  if (!(ms > 0))
    throw new CliError(
      `--expires takes a number and s, m, h, d or w, for example 30d; not ${JSON.stringify(text)}`,
      2,
    );
  return ms;
}
