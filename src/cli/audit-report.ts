/**
 * `audit report`: the weekly review, as text, JSON or one page of HTML. Reads the record and needs no running proxy;
 * whether the record is whole is looked at first, since a review of an edited one is worth nothing.
 */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { verifyChains } from '../audit/chains.ts';
import { type Review, ReviewBuilder } from '../audit/review.ts';
import { eachRecord } from '../audit/scan.ts';
import { DURATION, durationMs } from '../policy/units.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, needAuditFolder, settingsFor } from './load.ts';
import { progressOn } from './progress.ts';
import { reviewAsHtml } from './report-html.ts';
import { reviewAsText } from './report-text.ts';
import { jsonText } from './terminal-text.ts';

type Options = {
  readonly since: string;
  readonly group?: string;
  readonly json?: true;
  readonly html?: string;
  readonly config?: string;
};

/** Is the record as it was written; null: it is. */
export type Chain = string | null;

const EXAMPLES = `
Examples:
  $ sallyport audit report                            the last seven days, against the three weeks before
  $ sallyport audit report --since 30d --html review.html
  $ sallyport audit report --group ai-agents --json | jq '.groups[].newHosts'

Exit status: 0 done, 1 the record is not whole (the review is printed all the same), 2 wrong use.
`;

export function addAuditReport(audit: Command, io: CliIo): void {
  audit
    .command('report')
    .description('the review of a period: hosts, new ones, refusals, keys, approvals, policies, odd rates')
    .option('--since <duration>', 'length of the period, up to now: 24h, 7d, 4w', period, '7d')
    .option('--group <name>', 'this group alone')
    .option('--json', 'print { chain, from, until, groups, policies, operators, … }')
    .option('--html <file>', 'write one page that needs nothing else')
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => report(options, io));
}

function report(options: Options, io: CliIo): void {
  const dir = join(settingsFor(options.config, io).state.dir, 'audit');
  needAuditFolder(dir);
  const chain = chainOf(dir);
  const review = reviewOf(dir, options, io);
  if (options.html !== undefined) {
    const path = resolve(io.cwd, options.html);
    writeFileSync(path, reviewAsHtml(review, chain), { mode: 0o600 });
    io.stderr.write(`wrote ${path}\n`);
  }
  if (options.json === true) io.stdout.write(`${jsonText({ chain, ...review }, 2)}\n`);
  else if (options.html === undefined) io.stdout.write(reviewAsText(review, chain));
  if (chain !== null) throw new CliError(`the record is not whole: ${chain}`);
}

function chainOf(dir: string): Chain {
  const broken = verifyChains(dir, null).find(({ finding }) => finding !== null)?.finding;
  return broken === undefined || broken === null
    ? null
    : `${broken.file}:${broken.line}: ${broken.what}: ${broken.text}`;
}

function reviewOf(dir: string, { since, group }: Options, io: CliIo): Review {
  const until = Date.now();
  const builder = new ReviewBuilder({ from: until - durationMs(since), until });
  const progress = progressOn(io.stderr, 'reading the record');
  eachRecord(dir, { since: builder.comparedFrom, progress }, (record) => {
    if (group === undefined || record['kind'] === 'operator' || record['group'] === group)
      builder.add(record);
  });
  return builder.finish();
}

/** At least a minute: a review of nothing has no periods before it. */
function period(text: string): string {
  const weeks = /^([1-9]\d{0,2})w$/.exec(text)?.[1];
  const given = weeks === undefined ? text : `${Number(weeks) * 7}d`;
  if (DURATION.test(given) && durationMs(given) >= 60_000) return given;
  throw new InvalidArgumentError('a duration of a minute or more, such as 24h, 7d, 4w.');
}
