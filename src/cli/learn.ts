/**
 * `learn`: from what monitor mode let through to the rules that enforce mode would need. Reads the record, needs no
 * running proxy, writes to standard output alone: what goes into a policy file is a person's to read and to paste.
 */
import { join } from 'node:path';
import type { Command } from 'commander';
import { type ReadRecord, textOf } from '../audit/read-record.ts';
import { eachRecord } from '../audit/scan.ts';
import { proposeRules } from '../config/learn.ts';
import type { Observation } from '../policy/learn.ts';
import { durationMs } from '../policy/units.ts';
import { CliError, type CliIo } from './io.ts';
import { joined, proposalAsJson, proposalAsYaml } from './learn-text.ts';
import { CONFIG, knownGroup, needAuditFolder, policiesFor, settingsFor } from './load.ts';
import { duration, wholeNumber } from './option-values.ts';
import { progressOn } from './progress.ts';
import { jsonText } from './terminal-text.ts';

type Options = {
  readonly group: string;
  readonly since: string;
  readonly distinct: number;
  readonly json?: true;
  readonly config?: string;
};

/** What is counted by itself; a group that monitor mode lets wander has no end of paths. */
const MAX_OBSERVED = 50_000;
const DISTINCT = 5;

const EXAMPLES = `
Examples:
  $ sallyport learn --group ai-agents                 rules for what the last 24 hours asked for
  $ sallyport learn --group ai-agents --since 7d > proposed.yaml
  $ sallyport learn --group ai-agents --json | jq .left

Set mode: monitor for the group first, and let it work. Nothing is written to a policy file: read the rules, paste
those that you want, then run sallyport check and sallyport test.
Exit status: 0 done, 1 nothing was recorded that would need a rule, 2 wrong use.
`;

export function addLearn(program: Command, io: CliIo): void {
  program
    .command('learn')
    .description('propose rules from what monitor mode recorded')
    .requiredOption('--group <name>', 'the group, in monitor mode for the time that counts')
    .option('--since <duration>', 'how far back to read: 90m, 24h, 7d', duration, '24h')
    .option(
      '--distinct <count>',
      'so many different path segments at one place become *',
      wholeNumber(2, 1000),
      DISTINCT,
    )
    .option('--json', 'print { group, since, calls, before, rules, left }')
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => run(options, io));
}

function run(options: Options, io: CliIo): void {
  const settings = settingsFor(options.config, io);
  const set = policiesFor(settings);
  const group = set.groups.get(knownGroup(set, options.group));
  if (group === undefined) return;
  const dir = join(settings.state.dir, 'audit');
  needAuditFolder(dir);
  const { seen, calls, over } = observe(dir, options, io);
  const proposal = proposeRules(set, group, { seen, distinct: options.distinct });
  if (options.json === true) io.stdout.write(`${jsonText(proposalAsJson(options, calls, proposal), 2)}\n`);
  else io.stdout.write(proposalAsYaml(options, calls, proposal));
  if (over > 0)
    io.stderr.write(`${over} calls were not looked at: more than ${MAX_OBSERVED} different ones\n`);
  if (proposal.rules.length > 0) return;
  const hint = group.mode === 'monitor' ? '' : `; ${options.group} is not in monitor mode`;
  throw new CliError(`nothing of the last ${options.since} needs a rule${hint}`);
}

/** Calls that enforce mode would have refused, alike ones together. */
function observe(
  dir: string,
  { group, since }: Options,
  io: CliIo,
): { seen: readonly Observation[]; calls: number; over: number } {
  const found = new Map<string, Observation>();
  let calls = 0;
  let over = 0;
  const progress = progressOn(io.stderr, 'reading the record');
  eachRecord(dir, { since: Date.now() - durationMs(since), holds: '"would_deny"', progress }, (record) => {
    if (textOf(record, 'kind') !== 'decision' || textOf(record, 'verdict') !== 'would_deny') return;
    if (textOf(record, 'group') !== group) return;
    const one = observed(record);
    // A CONNECT whose requests were read is judged by those.
    if (one === null) return;
    const key = JSON.stringify([one.host, one.port, one.method, one.path, one.scheme]);
    const known = found.get(key);
    calls += 1;
    if (known !== undefined) found.set(key, joined(known, one));
    else if (found.size < MAX_OBSERVED) found.set(key, one);
    else over += 1;
  });
  return { seen: [...found.values()], calls, over };
}

function observed(record: ReadRecord): Observation | null {
  const at = textOf(record, 'at');
  const host = textOf(record, 'host');
  const port = record['port'];
  const treat = textOf(record, 'treat');
  const connect = textOf(record, 'stage') === 'connect';
  if (host === '' || typeof port !== 'number' || (connect && treat !== 'tunnel')) return null;
  return {
    host,
    port,
    method: connect ? null : textOf(record, 'method'),
    path: connect ? null : textOf(record, 'path').replace(/[?#].*$/s, ''),
    scheme: treat === 'plain' ? 'http' : 'https',
    calls: 1,
    first: at,
    last: at,
  };
}
