/**
 * `audit search` and `audit export`: what the record holds, newest first by filters, or all of it as JSON lines for
 * another system. Both read the files, beside a running proxy or without one.
 */
import { join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { eachRecordLine } from '../audit/scan.ts';
import { type AuditQuery, searchAudit } from '../audit/search.ts';
import { DURATION, durationMs } from '../policy/units.ts';
import { columnHeads, columnsOf } from './audit-columns.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, needAuditFolder, settingsFor } from './load.ts';
import { wholeNumber } from './option-values.ts';
import { jsonText } from './terminal-text.ts';

type Filters = Pick<
  AuditQuery,
  'kind' | 'group' | 'host' | 'reason' | 'verdict' | 'identity' | 'operator' | 'flow' | 'text'
>;
type SearchOptions = Filters & {
  readonly requestId?: string;
  readonly since?: number;
  readonly until?: number;
  readonly limit: number;
  readonly json?: true;
  readonly console?: string;
  readonly config?: string;
};
type ExportOptions = { readonly since?: number; readonly config?: string };

const SEARCH_EXAMPLES = `
Examples:
  $ sallyport audit search --group ai-agents --verdict deny --since 24h
  $ sallyport audit search --host '*.example.com' --json | jq .path
  $ sallyport audit search --request-id 01K3YV8Q4C9W5T2N7R6M1XHZ0B
  $ sallyport audit search --text pastebin --limit 5 --console http://127.0.0.1:9090

Exit status: 0 something was found, 1 nothing was, 2 wrong use.
`;
const EXPORT_EXAMPLE = `
Example:
  $ sallyport audit export --since 30d | zstd > audit.jsonl.zst

Lines are those of the files, byte for byte; several chains come one after the other. \`audit tail -f --json\` goes on.
`;
const KINDS = ['decision', 'end', 'operator'];
const VERDICTS = ['allow', 'deny', 'would_deny', 'approve'];
const MAX_FOUND = 100_000;
const PAGE = 500;
/** Bytes gathered before they are written. */
const WRITE_BYTES = 256 * 1024;

export function addAuditSearch(audit: Command, io: CliIo): void {
  audit
    .command('search')
    .description('records that fit every filter, newest first')
    .addOption(new Option('--kind <kind>', 'what the record is of').choices(KINDS))
    .option('--group <name>', 'of this group; nobody: clients that no policy knows')
    .option('--host <host>', 'a name, or *.example.com for what is below it; also with a port')
    .option('--reason <reason>', 'for example host_not_allowed')
    .addOption(new Option('--verdict <verdict>', 'how it was decided').choices(VERDICTS))
    .option('--identity <id>', 'a token id, or group:NAME')
    .option('--operator <name>', 'what this person did')
    .option('--flow <id>', 'of one connection')
    .option('--request-id <id>', 'as the agent was told with a refusal')
    .option('--text <text>', 'anywhere in the record, upper case or lower')
    .option('--since <when>', 'a time (2026-11-22T10:00:00Z) or how long ago (90m, 24h, 7d)', moment)
    .option('--until <when>', 'before this time, or longer ago than this', moment)
    .option('--limit <count>', 'at most so many', wholeNumber(1, MAX_FOUND), 100)
    .option('--json', 'print the records as JSON lines')
    .option('--console <url>', 'print the console page of each record behind it')
    .option(...CONFIG)
    .addHelpText('after', SEARCH_EXAMPLES)
    .action((options: SearchOptions) => search(options, io));
  audit
    .command('export')
    .description('the record as JSON lines on standard output, oldest first')
    .option('--since <when>', 'from this time on, or for so long (30d); default: all of it', moment)
    .option(...CONFIG)
    .addHelpText('after', EXPORT_EXAMPLE)
    .action((options: ExportOptions) => exportAll(options, io));
}

async function search(options: SearchOptions, io: CliIo): Promise<void> {
  const { limit, json, console: site, config, requestId, ...filters } = options;
  const dir = folderOf(config, io);
  const query: AuditQuery = { ...filters, request_id: requestId };
  let found = 0;
  let cursor: string | null = null;
  do {
    const page = await searchAudit(dir, query, { limit: Math.min(PAGE, limit - found), cursor });
    if (json !== true && found === 0 && page.records.length > 0) io.stdout.write(`${columnHeads()}\n`);
    for (const record of page.records) io.stdout.write(`${shown(record, json === true, site)}\n`);
    found += page.records.length;
    cursor = page.next;
  } while (cursor !== null && found < limit);
  if (found === 0) throw new CliError('nothing was found');
}

function shown(record: Readonly<Record<string, unknown>>, json: boolean, site: string | undefined): string {
  const line = jsonText(record);
  if (json) return line;
  const id = record['request_id'];
  const link = site === undefined || typeof id !== 'string' ? '' : `  ${pageOf(site, id)}`;
  return `${columnsOf(line)}${link}`;
}

function pageOf(site: string, id: string): string {
  return `${site.replace(/\/$/, '')}/#/audit?request_id=${encodeURIComponent(id)}`;
}

/** Whoever reads decides how fast: what waits to be written is bounded. */
async function exportAll({ since, config }: ExportOptions, io: CliIo): Promise<void> {
  const dir = folderOf(config, io);
  let text = '';
  for await (const line of eachRecordLine(dir, since ?? 0)) {
    text += `${line}\n`;
    if (text.length < WRITE_BYTES) continue;
    await written(io, text);
    text = '';
  }
  if (text !== '') await written(io, text);
}

function written(io: CliIo, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    io.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

function folderOf(config: string | undefined, io: CliIo): string {
  const dir = join(settingsFor(config, io).state.dir, 'audit');
  needAuditFolder(dir);
  return dir;
}

/** Milliseconds since the epoch. */
function moment(text: string): number {
  if (DURATION.test(text)) return Date.now() - durationMs(text);
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(at)) return at;
  throw new InvalidArgumentError('a time such as 2026-11-22T10:00:00Z, or a duration such as 24h.');
}
