/**
 * `sallyport audit verify|tail`: is the record as it was written, and what does it say. Both read the files
 * and need no running proxy; `tail` prints records as columns, with everything a terminal could act on escaped.
 */
import type { KeyObject } from 'node:crypto';
import { join, relative, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { type ChainReport, chainsSince, lastOfChains, verifyChains } from '../audit/chains.ts';
import { loadCheckpointPublicKey } from '../audit/checkpoint.ts';
import type { FolderReport } from '../audit/read.ts';
import { columnHeads, columnsOf } from './audit-columns.ts';
import { addAuditReport } from './audit-report.ts';
import { addAuditSearch } from './audit-search.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, needAuditFolder, settingsFor } from './load.ts';
import { wholeNumber } from './option-values.ts';
import { jsonText } from './terminal-text.ts';

const EXAMPLES = `
Examples:
  $ sallyport audit verify                            exit status 1 and the place, if a record was touched
  $ sallyport audit verify --json /backup/audit --key audit.key
  $ sallyport audit tail -n 50
  $ sallyport audit tail -f --json | jq 'select(.verdict == "deny")'
`;

const VERIFY_EXAMPLES = `
Examples:
  $ sallyport audit verify
  $ sallyport audit verify --json /backup/audit --key audit.key
`;

const TAIL_EXAMPLES = `
Examples:
  $ sallyport audit tail -n 50
  $ sallyport audit tail -f --json | jq 'select(.verdict == "deny")'
`;

const FOLLOW_EVERY_MS = 250;
const MAX_TAIL = 100_000;

type VerifyOptions = { readonly json?: true; readonly key?: string; readonly config?: string };
type TailOptions = {
  readonly lines: number;
  readonly follow?: true;
  readonly json?: true;
  readonly config?: string;
};

/** Adds `audit verify`, `tail`, `search`, `export` and `report`. `stop` ends `tail -f`; default: SIGINT and SIGTERM end the process. */
export function addAudit(program: Command, io: CliIo, stop?: AbortSignal): void {
  const audit = program
    .command('audit')
    .description('the record of every decision')
    .addHelpText('after', EXAMPLES);
  audit
    .command('verify')
    .description('check the chain of all records; names the first one that was touched')
    .argument('[dir]', 'audit folder (default: audit/ in state.dir)')
    .option(
      '--json',
      'print { ok, dir, files, records, first, last, finding }, and chains where there are several',
    )
    .option(
      '--key <file>',
      'key of the checkpoint, private or public PEM (default: DIR.key beside the folder)',
    )
    .option(...CONFIG)
    .addHelpText('after', VERIFY_EXAMPLES)
    .action((dir: string | undefined, options: VerifyOptions) => verify(dir, options, io));
  audit
    .command('tail')
    .description('the last records')
    .option('-n, --lines <count>', 'how many', wholeNumber(0, MAX_TAIL), 20)
    .option('-f, --follow', 'go on as records are written')
    .option('--json', 'print the lines as they stand in the file')
    .option(...CONFIG)
    .addHelpText('after', TAIL_EXAMPLES)
    .action((options: TailOptions) => tail(options, io, stop));
  addAuditSearch(audit, io);
  addAuditReport(audit, io);
}

function verify(given: string | undefined, options: VerifyOptions, io: CliIo): void {
  const dir = given === undefined ? defaultDir(options.config, io) : resolve(io.cwd, given);
  needAuditFolder(dir);
  const key = options.key === undefined ? null : readKey(resolve(io.cwd, options.key));
  const chains = verifyChains(dir, key);
  const ok = chains.every(({ finding }) => finding === null);
  if (options.json) {
    io.stdout.write(`${jsonText(jsonReport(dir, ok, chains))}\n`);
  } else {
    for (const chain of chains) {
      const name = chains.length === 1 ? '' : `${relative(dir, chain.dir) || '.'}: `;
      (chain.finding === null ? io.stdout : io.stderr).write(`${name}${verdictText(chain)}`);
    }
  }
  // All is said; the status remains.
  if (!ok) throw new CliError('', 1);
}

/** One chain as it always was; of several the sums, the first finding, and each by itself. */
function jsonReport(dir: string, ok: boolean, chains: readonly ChainReport[]): object {
  const [only] = chains;
  if (chains.length === 1 && only !== undefined) return { ok, ...only, dir };
  return {
    ok,
    dir,
    files: chains.reduce((sum, { files }) => sum + files, 0),
    records: chains.reduce((sum, { records }) => sum + records, 0),
    first: null,
    last: null,
    finding: chains.find(({ finding }) => finding !== null)?.finding ?? null,
    chains,
  };
}

function verdictText({ finding, files, records, first, last }: FolderReport): string {
  if (finding !== null) return `${finding.file}:${finding.line}: ${finding.what}: ${finding.text}\n`;
  if (records === 0) return 'No records yet.\n';
  return `${records} records in ${files} ${files === 1 ? 'file' : 'files'} are whole (${first} to ${last}).\n`;
}

async function tail(options: TailOptions, io: CliIo, stop?: AbortSignal): Promise<void> {
  const dir = defaultDir(options.config, io);
  needAuditFolder(dir);
  if (!options.json && options.lines > 0) io.stdout.write(`${columnHeads()}\n`);
  const print = (lines: readonly string[]): void => {
    if (lines.length === 0) return;
    io.stdout.write(`${lines.map((line) => (options.json ? line : columnsOf(line))).join('\n')}\n`);
  };
  const { lines, at } = lastOfChains(dir, options.lines);
  print(lines);
  if (!options.follow) return;
  const readerGone = goneSignal(io.stdout);
  const ends = stop === undefined ? readerGone : AbortSignal.any([stop, readerGone]);
  let place = at;
  while (!ends.aborted) {
    const fresh = chainsSince(dir, place);
    place = fresh.at;
    print(fresh.lines);
    await rest(ends);
  }
}

async function rest(ends: AbortSignal): Promise<void> {
  try {
    await pause(FOLLOW_EVERY_MS, undefined, { signal: ends });
  } catch {
    // Aborted: the loop sees it.
  }
}

/** Fires when nobody reads any more, for example `tail -f | head`. */
function goneSignal(stream: Writable): AbortSignal {
  const gone = new AbortController();
  for (const event of ['close', 'error']) stream.once(event, () => gone.abort());
  return gone.signal;
}

function defaultDir(config: string | undefined, io: CliIo): string {
  return join(settingsFor(config, io).state.dir, 'audit');
}

function readKey(path: string): KeyObject {
  const key = loadKey(path);
  if (key === null) throw new CliError(`there is no key ${path}`, 2);
  return key;
}

function loadKey(path: string): KeyObject | null {
  try {
    return loadCheckpointPublicKey(path);
  } catch (error) {
    throw new CliError(`${path} is not a readable PEM key`, 2, { cause: error });
  }
}
