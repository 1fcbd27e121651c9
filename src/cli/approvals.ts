/**
 * `sallyport approvals list|allow|deny|forget`: calls that an `approve` rule holds. Talks to the running proxy over its
 * admin API, as the operator whose token it is given, else as the built-in admin.
 */
import type { Command } from 'commander';
import { adminAccess, askAdmin, TOKEN_FILE } from './admin-client.ts';
import { doneOf, type HeldCall, listsOf } from './approvals-answer.ts';
import type { CliIo } from './io.ts';
import { CONFIG } from './load.ts';
import { minuteOf } from './table-text.ts';
import { jsonText, safe } from './terminal-text.ts';

const EXAMPLES = `
Examples:
  $ sallyport approvals list
  $ sallyport approvals allow 01K3YV8Q4C9W5T2N7R6M1XHZ0B
  $ sallyport approvals allow 01K3YV8Q4C9W5T2N7R6M1XHZ0B --code 123456 --once
  $ sallyport approvals deny 01K3YV8Q4C9W5T2N7R6M1XHZ0B --reason 'Refunds go through the desk.'
  $ sallyport approvals allow 01K3YV8Q4C9W5T2N7R6M1XHZ0B --token-file ~/.config/sallyport-token
`;
const LIST_EXAMPLE = `
Example:
  $ sallyport approvals list --json | jq -r '.[].url'
`;

const JSON_DONE = ['--json', 'print { id, decision, released, remembered }'] as const;
const SHOWN_BODY = 400;

type Options = { readonly json?: true; readonly config?: string; readonly tokenFile?: string };
type DecideOptions = Options & { readonly reason?: string; readonly code?: string; readonly once?: true };

/** Adds the four commands. */
export function addApprovals(program: Command, io: CliIo): void {
  const approvals = program
    .command('approvals')
    .description('calls that wait for a person: see and decide them')
    .addHelpText('after', EXAMPLES);
  approvals
    .command('list')
    .description('what waits now, and earlier yeses that still hold')
    .option('--json', 'print what waits as a list, as the API shows it')
    .option(...TOKEN_FILE)
    .option(...CONFIG)
    .addHelpText('after', LIST_EXAMPLE)
    .action((options: Options) => list(options, io));
  approvals
    .command('allow')
    .description('let a call through')
    .argument('<id>', 'as `approvals list` shows it')
    .option('--once', 'for this once, whatever the rule would remember')
    .option('--code <code>', 'one-time code, where the rule asks for a second factor')
    .option('--reason <text>', 'for the record')
    .option(...JSON_DONE)
    .option(...TOKEN_FILE)
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((id: string, options: DecideOptions) => decide('allow', id, { options, io }));
  approvals
    .command('deny')
    .description('refuse a call')
    .argument('<id>', 'as `approvals list` shows it')
    .requiredOption('--reason <text>', 'told to the agent')
    .option(...JSON_DONE)
    .option(...TOKEN_FILE)
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((id: string, options: DecideOptions) => decide('deny', id, { options, io }));
  approvals
    .command('forget')
    .description('take back a yes that still holds: the next such call is asked about again')
    .argument('<id>', 'as `approvals list` shows it')
    .option(...TOKEN_FILE)
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((id: string, options: Options) => forget(id, options, io));
}

async function list(options: Options, io: CliIo): Promise<void> {
  const access = adminAccess(options, io);
  const answer = listsOf(await askAdmin(access, 'GET', '/api/v1/approvals'));
  if (options.json) {
    io.stdout.write(`${jsonText(answer.approvals, 2)}\n`);
    return;
  }
  if (answer.approvals.length === 0) io.stdout.write('Nothing waits.\n');
  for (const held of answer.approvals) io.stdout.write(`${heldText(held)}\n`);
  for (const { id, what, by, until } of answer.remembered) {
    io.stdout.write(
      `remembered until ${minuteOf(until)} by ${safe(by)}: ${safe(what)}  (forget ${safe(id)})\n`,
    );
  }
}

async function decide(
  decision: 'allow' | 'deny',
  id: string,
  { options, io }: { readonly options: DecideOptions; readonly io: CliIo },
): Promise<void> {
  const access = adminAccess(options, io);
  const { reason = null, code = null, once } = options;
  const body = { decision, reason, code, remember: once !== true };
  const answer = await askAdmin(access, 'POST', `/api/v1/approvals/${encodeURIComponent(id)}`, body);
  if (options.json) {
    io.stdout.write(`${jsonText(answer)}\n`);
    return;
  }
  const { released, remembered } = doneOf(answer);
  const calls = `${released} ${released === 1 ? 'call' : 'calls'}`;
  const until = remembered === null ? '' : `; the same needs no other yes until ${minuteOf(remembered)}`;
  io.stdout.write(`${decision === 'allow' ? 'Let through' : 'Refused'}: ${calls}${until}.\n`);
}

async function forget(id: string, options: Options, io: CliIo): Promise<void> {
  const access = adminAccess(options, io);
  await askAdmin(access, 'DELETE', `/api/v1/approvals/${encodeURIComponent(id)}`);
  io.stdout.write(`Forgotten: the next such call is asked about again.\n`);
}

function heldText(held: HeldCall): string {
  const { id, group, identity, client, method, url, protocol, keys, rule, expires, waiting, body } = held;
  const left = Math.max(0, Math.round((Date.parse(expires) - Date.now()) / 1000));
  const what = protocol === 'websocket' ? `${method} (WebSocket)` : method;
  const yes = held.remember === 0 ? 'this once' : `${held.remember} s`;
  const lines = [
    `${safe(id)}  ${safe(group)}  ${safe(what)} ${safe(url)}`,
    `    asked by ${safe(identity)} from ${safe(client)}; ${waiting} waiting, ${left} s left`,
    `    keys: ${keys.length === 0 ? 'none' : safe(keys.join(', '))}; a yes holds for ${yes}${held.second_factor ? '; needs --code' : ''}`,
    `    rule: ${safe(rule.file)}:${rule.line} ${safe(rule.text)}`,
    ...(body === null ? [] : [`    body, ${body.length ?? `${body.bytes} so far`} bytes: ${bodyText(body)}`]),
  ];
  return lines.join('\n');
}

/** Told where more than this is sent: what is shown may be the harmless part. */
function bodyText({ text, whole }: NonNullable<HeldCall['body']>): string {
  if (text === null) return '(not shown)';
  const cut = text.length > SHOWN_BODY ? `${safe(text.slice(0, SHOWN_BODY))} ...` : safe(text);
  return whole ? cut : `${cut} (there is more than is shown)`;
}
