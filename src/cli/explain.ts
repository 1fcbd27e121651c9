/** `explain`: which rule decides about a request, why the others do not, what would be read and swapped. */
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { UNIDENTIFIED } from '../config/explain-ask.ts';
import { parseRequest } from '../config/request-url.ts';
import type { Settings } from '../config/settings.ts';
import { openTokenStore } from '../identify/token.ts';
import { canonicalAddress } from '../policy/address-text.ts';
import { type Explanation, explain } from '../policy/explain.ts';
import type { PolicySet } from '../policy/model.ts';
import { buildSourceTable } from '../policy/source-table.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, knownGroup, policiesFor, settingsFor } from './load.ts';
import { jsonText } from './terminal-text.ts';

type Options = {
  readonly group?: string;
  readonly identity?: string;
  readonly from?: string;
  readonly config?: string;
  readonly json?: boolean;
};

const EXAMPLES = `
Examples:
  $ sallyport explain --group ai-agents https://api.openai.com/v1/models
  $ sallyport explain --group ai-agents POST https://api.openai.com/v1/chat/completions --json
  $ sallyport explain --from 172.25.0.9 CONNECT evil.example:443

Exit status: 0 the request would pass (or wait for a person), 1 it would be refused, 2 wrong use.
`;

const TOLD = {
  on_connect: 'in answer to the CONNECT',
  inside: 'inside TLS, by refuse: inside',
} as const;

export function addExplain(program: Command, io: CliIo): void {
  program
    .command('explain')
    .description('which rule decides about a request, and why the others do not')
    .argument(
      '<request...>',
      '[METHOD] URL; GET without a method; CONNECT host:port for the connection alone',
    )
    .option('--group <name>', 'the group that asks')
    .option('--identity <id>', 'a token id (tok_…) or group:NAME instead of --group')
    .option('--from <address>', 'a client address instead of --group')
    .option(...CONFIG)
    .option('--json', 'print { verdict, reason, rule, treat, keys, aws, told, limits, rules }')
    .addHelpText('after', EXAMPLES)
    .action((words: string[], options: Options) => run(words, options, io));
}

function run(words: readonly string[], options: Options, io: CliIo): void {
  const [first = '', second] = words;
  if (words.length > 2) throw new CliError('give one request: [METHOD] URL', 2);
  const request = second === undefined ? parseRequest('GET', first) : parseRequest(first, second);
  if ('problem' in request) throw new CliError(request.problem, 2);
  const settings = settingsFor(options.config, io);
  const set = policiesFor(settings);
  const group = askingGroup(set, settings, options);
  const answer = group === null ? UNIDENTIFIED : explain(set, { group, ...request });
  if (options.json === true) io.stdout.write(`${jsonText({ group, ...answer }, 2)}\n`);
  else io.stdout.write(people(words.join(' '), group, answer));
  if (answer.verdict === 'deny') throw new CliError('');
}

/** Exactly one of --group, --identity, --from says who asks; null: an address that identifies no group. */
function askingGroup(set: PolicySet, settings: Settings, options: Options): string | null {
  const { group, identity, from } = options;
  if ([group, identity, from].filter((one) => one !== undefined).length !== 1) {
    throw new CliError('say who asks by one of --group, --identity and --from', 2);
  }
  if (group !== undefined) return knownGroup(set, group);
  if (from !== undefined && canonicalAddress(from) === null) {
    throw new CliError(`--from takes the IP address of a client, not ${JSON.stringify(from)}`, 2);
  }
  if (from !== undefined) return buildSourceTable(set.groups.values()).lookup(from);
  if (identity?.startsWith('group:') === true) return knownGroup(set, identity.slice('group:'.length));
  const store = openTokenStore({ dir: settings.state.dir, clock: systemClock, watch: false });
  try {
    const record = store.list().find(({ id }) => id === identity);
    if (record === undefined) throw new CliError(`there is no identity ${JSON.stringify(identity)}`);
    return knownGroup(set, record.group);
  } finally {
    store.close();
  }
}

function people(request: string, group: string | null, answer: Explanation): string {
  const { verdict, reason, detail, rule, treat, keys, told, stage, rules } = answer;
  const limits = Object.entries(answer.limits).map(([name, value]) => `${name} ${value}`);
  const sets = answer.aws.map(({ key, services, regions }) => {
    return `${key} (${services?.join(', ') ?? 'every service'}; ${regions?.join(', ') ?? 'every region'})`;
  });
  const place = (at: { file: string; line: number; text: string }) => `${at.file}:${at.line}  ${at.text}`;
  const facts: [string, string | null][] = [
    ['group', group ?? 'none'],
    ['reason', reason],
    ['detail', detail],
    ['rule', rule === null ? 'none' : place(rule)],
    ['carried', treat],
    ['keys', treat === null ? null : keys.join(', ') || 'none'],
    ['signed', sets.length === 0 ? null : `again with ${sets.join('; ')}`],
    ['told', told === null ? null : TOLD[told]],
    ['limits', limits.length === 0 ? null : limits.join(', ')],
    ['judged', stage === 'connect' ? 'by host and port alone' : 'by the whole request'],
  ];
  const width = Math.max(0, ...rules.map((one) => place(one).length));
  const walk = rules.map((one) => {
    return `  ${one.matched ? '>' : ' '} ${place(one).padEnd(width)}  ${one.guardrail ? 'guardrail: ' : ''}${one.why}`;
  });
  return [
    `${verdict}  ${request}`,
    ...facts.flatMap(([name, text]) => (text === null ? [] : [`  ${name.padEnd(8)} ${text}`])),
    ...(walk.length === 0 ? [] : ['rules, in order:', ...walk]),
    '',
  ].join('\n');
}
