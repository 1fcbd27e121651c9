/**
 * `vault import`: all values of a `.env` file, stored at once or not at all. Says what becomes of each name, never a
 * value. What is too short for a key (a port, a flag) is left out and told.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { awsGroups } from '../vault/aws-sets.ts';
import { type DotenvEntry, parseDotenv } from '../vault/dotenv.ts';
import { readAll } from '../vault/read-secret.ts';
import type { NewValue, PutAll } from '../vault/sealed.ts';
import { MAX_VALUE_BYTES } from '../vault/source.ts';
import { CliError, type CliIo } from './io.ts';
import { type Common, MIN_VALUE_BYTES, noteVault, openFor, WORDS } from './vault-open.ts';

export type ImportOptions = Common & { force?: true; prefix?: string; overwrite?: true; dryRun?: true };

type Row = {
  readonly name: string;
  /** `exists`: there with another value, and not to be overwritten */
  readonly outcome: keyof typeof WORDS | 'skipped' | 'exists';
  readonly group: string | null;
};

const MAX_IMPORT_BYTES = 4_194_304;

const WOULD = {
  created: 'would be stored',
  replaced: 'would replace the value that is there',
  unchanged: WORDS.unchanged,
  exists: 'is there already with another value',
} as const;

/** Throws CliError where nothing could be stored, after the names were told. */
export async function importFile(file: string, options: ImportOptions, io: CliIo): Promise<void> {
  const vault = await openFor(options, io);
  const { entries, repeated } = parsed(file, await readText(file, io));
  const { prefix = '' } = options;
  for (const { name, line } of repeated) {
    io.stderr.write(`${prefix}${name}: stands there again in line ${line}; the last value counts\n`);
  }
  const groups = awsGroups(entries.map((entry) => entry.name));
  const taken = entries.filter((entry) => !skips(entry, options, io));
  const values = taken.map((entry) => newValue(entry, prefix, groups.get(entry.name)));
  const overwrite = options.overwrite === true;
  const done = await vault.putAll(values, { overwrite, dry: options.dryRun === true }).finally(() => {
    for (const { value } of values) value.fill(0);
  });
  const rows = rowsOf(entries, { prefix, values, outcomes: done.outcomes, overwrite });
  const stored = done.stored ? done.outcomes.filter((outcome) => outcome !== 'unchanged').length : 0;
  if (stored > 0 && options.dryRun !== true) {
    noteVault(options, io, { action: 'vault.import', subject: file, why: `${stored} keys` });
  }
  const counts = { found: entries.length, stored, skipped: entries.length - taken.length };
  const names = repeated.map(({ name }) => prefix + name);
  const json = (): string => `${JSON.stringify({ ...counts, repeated: names, entries: rows })}\n`;
  io.stdout.write(options.json ? json() : textOf(rows, counts, done));
  if (values.length === 0) throw new CliError(`${file} holds nothing to import`);
  if (rows.some(({ outcome }) => outcome === 'exists')) {
    throw new CliError('nothing was imported: --overwrite replaces the values that are there already');
  }
}

function parsed(file: string, text: string): Pick<ReturnType<typeof parseDotenv>, 'entries' | 'repeated'> {
  const { faults, ...read } = parseDotenv(text);
  if (faults.length === 0) return read;
  const lines = faults.map(({ line, message }) => `  ${file}:${line}: ${message}`);
  throw new CliError(['nothing was imported, the file cannot be read:', ...lines].join('\n'));
}

function newValue({ name, value }: DotenvEntry, prefix: string, group: string | undefined): NewValue {
  const named = { name: prefix + name, value: Buffer.from(value, 'utf8') };
  return group === undefined ? named : { ...named, group: prefix + group };
}

/** One row for each line of the file, in its order. */
function rowsOf(
  entries: readonly DotenvEntry[],
  of: {
    readonly prefix: string;
    readonly values: readonly NewValue[];
    readonly outcomes: PutAll['outcomes'];
    readonly overwrite: boolean;
  },
): readonly Row[] {
  const at = new Map(of.values.map(({ name }, index) => [name, index]));
  return entries.map((entry) => {
    const name = of.prefix + entry.name;
    const index = at.get(name) ?? -1;
    const outcome = of.outcomes[index];
    if (outcome === undefined) return { name, outcome: 'skipped', group: null };
    const refused = outcome === 'replaced' && !of.overwrite;
    return { name, outcome: refused ? 'exists' : outcome, group: of.values[index]?.group ?? null };
  });
}

function textOf(
  rows: readonly Row[],
  { found, stored, skipped }: { found: number; stored: number; skipped: number },
  done: PutAll,
): string {
  const words: Readonly<Record<string, string>> = done.stored ? WORDS : WOULD;
  const lines = rows.flatMap(({ name, outcome, group }) =>
    // Why one was skipped stands on standard error.
    outcome === 'skipped' ? [] : [`${name}: ${words[outcome]}${group === null ? '' : ` (group ${group})`}\n`],
  );
  return `${lines.join('')}${found} found, ${stored} stored, ${skipped} skipped\n`;
}

/** Is it left out; tells why. */
function skips({ name, value }: DotenvEntry, { force, prefix = '' }: ImportOptions, io: CliIo): boolean {
  const why = unfit(Buffer.byteLength(value, 'utf8'), force === true);
  if (why !== null) io.stderr.write(`${prefix}${name}: skipped, ${why}\n`);
  return why !== null;
}

function unfit(length: number, force: boolean): string | null {
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
