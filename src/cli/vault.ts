/**
 * `sallyport vault set|import|list|rotate|rm|rekey`: the built-in encrypted vault. Values come on standard
 * input or from a prompt, never from arguments, and are never printed. A running proxy uses a changed value
 * for its next request.
 */
import type { Command } from 'commander';
import { readSecret } from '../vault/read-secret.ts';
import type { Vault, VaultRow } from '../vault/sealed.ts';
import { MAX_VALUE_BYTES } from '../vault/source.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG } from './load.ts';
import { minuteOf, tableText } from './table-text.ts';
import { type ImportOptions, importFile } from './vault-import.ts';
import { type Common, guarded, MIN_VALUE_BYTES, noteVault, openFor, WORDS } from './vault-open.ts';
import { type RekeyOptions, rekey } from './vault-rekey.ts';

const EXAMPLES = `
Examples:
  $ printf %s "$KEY" | sallyport vault set openai
  $ sallyport vault set openai                 asks for the value without showing it
  $ sallyport vault import .env
  $ sallyport vault list

The vault's key is the file vault.key in the state folder, or a passphrase from SALLYPORT_VAULT_PASSPHRASE, or a key
of 32 bytes from SALLYPORT_VAULT_KEY; with _FILE after the name, the file that it names. On a terminal a passphrase
that is missing is asked for.
`;

const SET_EXAMPLES = `
Examples:
  $ printf %s "$KEY" | sallyport vault set openai
  $ sallyport vault set openai < key-file
  $ sallyport vault set openai                 asks for the value without showing it
`;

const EXAMPLE_OF: Readonly<Record<string, string>> = {
  import: 'sallyport vault import .env --dry-run',
  list: 'sallyport vault list --json',
  rotate: 'sallyport vault rotate openai < new-key',
  rm: 'sallyport vault rm openai',
  rekey: 'sallyport vault rekey --passphrase',
};

type SetOptions = Common & { force?: true; group?: string };

/** Adds `vault` and its commands. */
export function addVault(program: Command, io: CliIo): void {
  const vault = program
    .command('vault')
    .description('the built-in vault: real keys, encrypted on disk')
    .addHelpText('after', EXAMPLES);
  command(vault, 'set', 'store a value; an existing one is replaced')
    .argument('<name>', 'the NAME of `from: vault:NAME`')
    .option('--group <group>', 'what the key belongs together with')
    .option('--force', 'take a value of less than 16 bytes')
    .option('--json', 'print { name, outcome }; outcome: created, replaced or unchanged')
    .addHelpText('after', SET_EXAMPLES)
    .action((name: string, options: SetOptions) => guarded(() => set(name, options, io)));
  command(vault, 'import', 'store all values of a .env file')
    .argument('<file>', 'the file; - for standard input')
    .option('--prefix <text>', 'put before every name')
    .option('--force', 'take values of less than 16 bytes')
    .option(
      '--overwrite',
      'replace values that are there already; without, nothing is stored if there are any',
    )
    .option('--dry-run', 'say what would be stored, and store nothing')
    .option('--json', 'print { found, stored, skipped, repeated, entries: [{ name, outcome, group }] }')
    .action((file: string, options: ImportOptions) => guarded(() => importFile(file, options, io)));
  command(vault, 'list', 'names and times; never values')
    .option('--json', 'print [{ name, created, rotated, last_used, group }]')
    .action((options: Common) => guarded(() => list(options, io)));
  command(vault, 'rotate', 'replace a value; the old one is remembered as revoked')
    .argument('<name>', 'a name that `vault list` shows')
    .option('--force', 'take a value of less than 16 bytes')
    .option('--json', 'print { name, outcome }; outcome: replaced')
    .action((name: string, options: SetOptions) => guarded(() => rotate(name, options, io)));
  command(vault, 'rm', 'remove a value; it is remembered as revoked')
    .argument('<name>', 'a name that `vault list` shows')
    .option('--json', 'print { name, outcome }; outcome: removed')
    .action((name: string, options: Common) => guarded(() => remove(name, options, io)));
  command(vault, 'rekey', 'encrypt everything under a new key')
    .option('--passphrase', 'ask for a passphrase (standard input or prompt) instead of making a key file')
    .option(
      '--environment-key',
      'ask for a key of 32 bytes, hex or base64, which SALLYPORT_VAULT_KEY will hold',
    )
    .action((options: RekeyOptions) => guarded(() => rekey(options, io)));
}

function command(parent: Command, name: string, description: string): Command {
  const example = EXAMPLE_OF[name];
  return parent
    .command(name)
    .description(description)
    .addHelpText('after', example === undefined ? '' : `\nExample:\n  $ ${example}\n`)
    .option(...CONFIG)
    .option('--state-dir <folder>', 'state folder (default: state.dir of the settings)');
}

async function set(name: string, options: SetOptions, io: CliIo): Promise<void> {
  const vault = await openFor(options, io);
  const value = await readValue(name, options, io);
  const more = options.group === undefined ? {} : { group: options.group };
  const outcome = await vault.set(name, value, more).finally(() => value.fill(0));
  if (outcome !== 'unchanged') noteVault(options, io, { action: 'vault.set', subject: name, why: outcome });
  say({ name, outcome }, WORDS[outcome], { json: options.json, io });
}

/** What was done to a name: an object for programs, or words. */
function say(
  result: { readonly name: string; readonly outcome: string },
  words: string,
  to: { readonly json: true | undefined; readonly io: CliIo },
): void {
  to.io.stdout.write(to.json ? `${JSON.stringify(result)}\n` : `${result.name}: ${words}\n`);
}

async function rotate(name: string, options: SetOptions, io: CliIo): Promise<void> {
  const vault = await openFor(options, io);
  known(vault, name);
  const value = await readValue(name, options, io);
  const outcome = await vault.rotate(name, value).finally(() => value.fill(0));
  if (outcome === 'unchanged') throw new CliError(`${name}: that is the value it has already`);
  noteVault(options, io, { action: 'vault.rotate', subject: name });
  say({ name, outcome }, 'rotated; the old value is refused as revoked', { json: options.json, io });
}

async function remove(name: string, options: Common, io: CliIo): Promise<void> {
  const vault = await openFor(options, io);
  known(vault, name);
  await vault.rm(name);
  noteVault(options, io, { action: 'vault.rm', subject: name });
  const result = { name, outcome: 'removed' };
  say(result, 'removed; its value is refused as revoked', { json: options.json, io });
}

async function list(options: Common, io: CliIo): Promise<void> {
  const rows = (await openFor(options, io)).list();
  if (options.json === true) {
    io.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  io.stdout.write(rows.length === 0 ? 'the vault is empty\n' : table(rows));
}

function table(rows: readonly VaultRow[]): string {
  const orNone = (moment: string | null): string => (moment === null ? '-' : minuteOf(moment));
  return tableText([
    ['NAME', 'CREATED', 'ROTATED', 'LAST USED', 'GROUP'],
    ...rows.map((row) => [
      row.name,
      orNone(row.created),
      orNone(row.rotated),
      orNone(row.last_used),
      row.group ?? '-',
    ]),
  ]);
}

/** Told before the value is asked for. */
function known(vault: Vault, name: string): void {
  if (vault.list().some((row) => row.name === name)) return;
  throw new CliError(`the vault holds no ${JSON.stringify(name)}; \`sallyport vault list\` shows the names`);
}

async function readValue(name: string, options: { force?: true }, io: CliIo): Promise<Buffer> {
  const prompt = `Value of ${name} (not shown): `;
  const value = await readSecret({ input: io.stdin, output: io.stderr, prompt, maxBytes: MAX_VALUE_BYTES });
  if (value.length === 0) throw new CliError('no value came on standard input', 2);
  if (value.length < MIN_VALUE_BYTES && options.force !== true) {
    throw new CliError(
      `the value is shorter than ${MIN_VALUE_BYTES} bytes: too short for a key (--force takes it all the same)`,
    );
  }
  return value;
}
