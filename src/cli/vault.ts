/**
 * `sallyport vault set|import|list|rotate|rm|rekey`: the built-in encrypted vault. Values come on standard
 * input or from a prompt, never from arguments, and are never printed. A running proxy uses a changed value
 * for its next request.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { awsGroups, type DotenvEntry, parseDotenv } from '../vault/dotenv.ts';
import { passphraseFrom } from '../vault/key-file.ts';
import { readAll, readSecret } from '../vault/read-secret.ts';
import { openVault, type Vault, type VaultRow } from '../vault/sealed.ts';
import { MAX_VALUE_BYTES, SecretSourceError } from '../vault/source.ts';
import { CliError, type CliIo } from './io.ts';
import { settingsFor } from './load.ts';

const EXAMPLES = `
Examples:
  $ printf %s "$KEY" | sallyport vault set openai
  $ sallyport vault set openai                 asks for the value without showing it
  $ sallyport vault import .env
  $ sallyport vault list

The vault's key is the file vault.key in the state folder, or a passphrase from SALLYPORT_VAULT_PASSPHRASE
or the file that SALLYPORT_VAULT_PASSPHRASE_FILE names.
`;

const SET_EXAMPLES = `
Examples:
  $ printf %s "$KEY" | sallyport vault set openai
  $ sallyport vault set openai < key-file
  $ sallyport vault set openai                 asks for the value without showing it
`;

const EXAMPLE_OF: Readonly<Record<string, string>> = {
  import: 'sallyport vault import .env',
  list: 'sallyport vault list --json',
  rotate: 'sallyport vault rotate openai < new-key',
  rm: 'sallyport vault rm openai',
  rekey: 'sallyport vault rekey --passphrase',
};

/** A shorter key cannot be told from ordinary text in a response, and can be guessed. */
const MIN_VALUE_BYTES = 16;
const MAX_IMPORT_BYTES = 4_194_304;

type Common = { config?: string; stateDir?: string; json?: true };
type SetOptions = Common & { force?: true; group?: string };
type ImportOptions = Common & { force?: true; prefix?: string };
type RekeyOptions = Common & { passphrase?: true };

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
    .option('--json', 'print { found, stored, skipped, entries: [{ name, outcome, group }] }')
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
    .option('--passphrase', 'ask for a new passphrase (standard input or prompt) instead of a new key file')
    .action((options: RekeyOptions) => guarded(() => rekey(options, io)));
}

function command(parent: Command, name: string, description: string): Command {
  const example = EXAMPLE_OF[name];
  return parent
    .command(name)
    .description(description)
    .addHelpText('after', example === undefined ? '' : `\nExample:\n  $ ${example}\n`)
    .option('--config <file>', 'settings file (default: sallyport.yaml, or SALLYPORT_CONFIG)')
    .option('--state-dir <folder>', 'state folder (default: state.dir of the settings)');
}

async function set(name: string, options: SetOptions, io: CliIo): Promise<void> {
  const vault = open(options, io);
  const value = await readValue(name, options, io);
  const more = options.group === undefined ? {} : { group: options.group };
  const outcome = await vault.set(name, value, more).finally(() => value.fill(0));
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

const WORDS = {
  created: 'stored',
  replaced: 'replaced; the old value is refused as revoked',
  unchanged: 'unchanged, it is the same value',
} as const;

async function rotate(name: string, options: SetOptions, io: CliIo): Promise<void> {
  const vault = open(options, io);
  known(vault, name);
  const value = await readValue(name, options, io);
  const outcome = await vault.rotate(name, value).finally(() => value.fill(0));
  if (outcome === 'unchanged') throw new CliError(`${name}: that is the value it has already`);
  say({ name, outcome }, 'rotated; the old value is refused as revoked', { json: options.json, io });
}

async function remove(name: string, options: Common, io: CliIo): Promise<void> {
  const vault = open(options, io);
  known(vault, name);
  await vault.rm(name);
  const result = { name, outcome: 'removed' };
  say(result, 'removed; its value is refused as revoked', { json: options.json, io });
}

async function rekey(options: RekeyOptions, io: CliIo): Promise<void> {
  const vault = open(options, io);
  if (options.passphrase !== true) {
    await vault.rekey({});
    io.stdout.write('the vault has a new key file\n');
    return;
  }
  const asked = { input: io.stdin, output: io.stderr, prompt: 'New passphrase: ', maxBytes: MAX_VALUE_BYTES };
  const passphrase = (await readSecret(asked)).toString('utf8');
  if (passphrase === '') throw new CliError('the passphrase is empty', 2);
  await vault.rekey({ passphrase });
  io.stdout.write('the vault has a new passphrase; give it to `start` in SALLYPORT_VAULT_PASSPHRASE\n');
}

async function importFile(file: string, options: ImportOptions, io: CliIo): Promise<void> {
  const vault = open(options, io);
  const { entries, faults } = parseDotenv(await readText(file, io));
  if (faults.length > 0) {
    const lines = faults.map(({ line, message }) => `  ${file}:${line}: ${message}`);
    throw new CliError(['nothing was imported, the file cannot be read:', ...lines].join('\n'));
  }
  const groups = awsGroups(entries.map((entry) => entry.name));
  const counts = { found: entries.length, stored: 0, skipped: 0 };
  const rows: ImportRow[] = [];
  for (const entry of entries) {
    const name = (options.prefix ?? '') + entry.name;
    const why = unfit(entry, options.force === true);
    if (why !== null) {
      counts.skipped += 1;
      rows.push({ name, outcome: 'skipped', group: null });
      io.stderr.write(`${entry.name}: skipped, ${why}\n`);
      continue;
    }
    const part = groups.get(entry.name);
    const group = part === undefined ? null : (options.prefix ?? '') + part;
    const outcome = await vault.set(name, Buffer.from(entry.value, 'utf8'), group === null ? {} : { group });
    if (outcome !== 'unchanged') counts.stored += 1;
    rows.push({ name, outcome, group });
  }
  if (options.json) io.stdout.write(`${JSON.stringify({ ...counts, entries: rows })}\n`);
  else io.stdout.write(importText(rows, counts));
  if (entries.length === counts.skipped) throw new CliError(`${file} holds nothing to import`);
}

type ImportRow = {
  readonly name: string;
  readonly outcome: keyof typeof WORDS | 'skipped';
  readonly group: string | null;
};

function importText(
  rows: readonly ImportRow[],
  { found, stored, skipped }: { found: number; stored: number; skipped: number },
): string {
  const lines = rows.flatMap(({ name, outcome, group }) =>
    // Why one was skipped stands on standard error.
    outcome === 'skipped' ? [] : [`${name}: ${WORDS[outcome]}${group === null ? '' : ` (group ${group})`}\n`],
  );
  return `${lines.join('')}${found} found, ${stored} stored, ${skipped} skipped\n`;
}

function unfit({ value }: DotenvEntry, force: boolean): string | null {
  const length = Buffer.byteLength(value, 'utf8');
  if (length === 0) return 'it is empty';
  if (length > MAX_VALUE_BYTES) return `it is longer than ${MAX_VALUE_BYTES} bytes`;
  return length < MIN_VALUE_BYTES && !force
    ? `it is shorter than ${MIN_VALUE_BYTES} bytes (--force takes it)`
    : null;
}

async function readText(file: string, io: CliIo): Promise<string> {
  if (file === '-') return (await readAll(io.stdin, MAX_IMPORT_BYTES)).toString('utf8');
  try {
    return readFileSync(resolve(io.cwd, file), 'utf8');
  } catch (cause) {
    throw new CliError(`${file} cannot be read`, 1, { cause });
  }
}

function list(options: Common, io: CliIo): void {
  const rows = open(options, io).list();
  if (options.json === true) {
    io.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  io.stdout.write(rows.length === 0 ? 'the vault is empty\n' : table(rows));
}

function table(rows: readonly VaultRow[]): string {
  const day = (moment: string | null): string => moment?.slice(0, 16).replace('T', ' ') ?? '-';
  const lines = [
    ['NAME', 'CREATED', 'ROTATED', 'LAST USED', 'GROUP'],
    ...rows.map((row) => [
      row.name,
      day(row.created),
      day(row.rotated),
      day(row.last_used),
      row.group ?? '-',
    ]),
  ];
  const widths = [0, 1, 2, 3].map((at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  const print = (line: readonly string[]): string =>
    line
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return `${lines.map(print).join('\n')}\n`;
}

function open(options: Common, io: CliIo): Vault {
  const dir =
    options.stateDir === undefined
      ? settingsFor(options.config, io).state.dir
      : resolve(io.cwd, options.stateDir);
  const passphrase = passphraseFrom(io.env);
  return openVault({ dir, ...(passphrase === undefined ? {} : { passphrase }) });
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

/** Errors of the vault are for people; a wrong name is wrong use. */
async function guarded(work: () => Promise<void> | void): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof SecretSourceError)) throw error;
    throw new CliError(error.message, error.code === 'bad_name' ? 2 : 1, { cause: error });
  }
}
