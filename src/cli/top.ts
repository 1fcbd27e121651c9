/**
 * `sallyport top`: what the proxy does now, drawn anew every two seconds, from its admin API. On a terminal it uses the
 * alternate screen and gives it back at q, Ctrl-C or a signal, and when the proxy no longer answers.
 */
import type { Readable, Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { systemClock } from '../base/clock.ts';
import { type AdminAccess, adminAccess, TOKEN_FILE } from './admin-client.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG } from './load.ts';
import { jsonText } from './terminal-text.ts';
import { readTop, type TopView } from './top-read.ts';
import { frameText } from './top-text.ts';

const EXAMPLES = `
Examples:
  $ sallyport top
  $ sallyport top --every 10s
  $ sallyport top --once --json | jq '.blocked'
`;

const MAX_EVERY_S = 3600;
/** Where nobody says how large the screen is. */
const COLUMNS = 200;
const ROWS = 200;
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const CLEAR = '\x1b[H\x1b[2J';
const CTRL_C = '\u0003';

type Options = {
  readonly once?: true;
  readonly json?: true;
  readonly every: number;
  readonly config?: string;
  readonly tokenFile?: string;
};

/** Adds `top`. `stop` ends the view; default: q, Ctrl-C and signals do. */
export function addTop(program: Command, io: CliIo, stop?: AbortSignal): void {
  program
    .command('top')
    .description('live view: groups, connections, refused hosts, calls that wait, lockdown; q leaves')
    .option('--once', 'print it once')
    .option('--json', 'with --once: print { at, ready, groups, held, blocked, locks, ... }')
    .option('--every <seconds>', 'draw it anew every so often, for example 2s', seconds, 2)
    .option(...TOKEN_FILE)
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => top(options, io, stop));
}

async function top(options: Options, io: CliIo, stop?: AbortSignal): Promise<void> {
  if (options.json && !options.once) throw new CliError('--json goes with --once', 2);
  const access = adminAccess(options, io);
  const first = await readTop(access, systemClock.now, null);
  if (options.json) return void io.stdout.write(`${jsonText(first)}\n`);
  if (options.once) return draw(first, io);
  if (io.stdout.isTTY !== true) throw new CliError('standard output is no terminal: use --once', 2);
  return live({ access, first, everyMs: options.every * 1000 }, io, stop);
}

async function live(
  { access, first, everyMs }: { access: AdminAccess; first: TopView; everyMs: number },
  io: CliIo,
  stop?: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const ends = stop === undefined ? over.signal : AbortSignal.any([over.signal, stop]);
  const leave = (): void => over.abort();
  const key = (bytes: Buffer | string): void => {
    if (/[qQ]/.test(String(bytes)) || String(bytes).includes(CTRL_C)) leave();
  };
  for (const signal of SIGNALS) process.once(signal, leave);
  // It stays: what is written to a terminal that hung up fails later.
  io.stdout.on('error', leave).once('close', leave);
  io.stdin.on('data', key).once('error', leave);
  raw(io.stdin, true);
  io.stdout.write(ENTER);
  try {
    let view = first;
    while (!ends.aborted) {
      io.stdout.write(CLEAR);
      draw(view, io);
      await pause(everyMs, undefined, { signal: ends }).catch(() => {});
      if (!ends.aborted) view = await readTop(access, systemClock.now, view);
    }
  } finally {
    io.stdout.write(LEAVE);
    raw(io.stdin, false);
    io.stdin.off('data', key).pause();
    for (const signal of SIGNALS) process.off(signal, leave);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function draw(view: TopView, { stdout, env }: CliIo): void {
  const tty = stdout.isTTY === true;
  const colours = tty && (env['NO_COLOR'] ?? '') === '';
  const columns = tty ? sizeOf(stdout, 'columns', COLUMNS) : COLUMNS;
  stdout.write(frameText(view, { columns, rows: tty ? sizeOf(stdout, 'rows', ROWS) - 1 : ROWS, colours }));
}

function sizeOf(stream: Writable, side: 'columns' | 'rows', otherwise: number): number {
  const size: unknown = Reflect.get(stream, side);
  return typeof size === 'number' && size > 1 ? size : otherwise;
}

/** Keys one by one, and not shown; a stream that is no terminal stays as it is. */
function raw(stdin: Readable, on: boolean): void {
  const change: unknown = Reflect.get(stdin, 'setRawMode');
  if (typeof change === 'function') Reflect.apply(change, stdin, [on]);
}

function seconds(text: string): number {
  const value = Number(/^(\d{1,4})s?$/.exec(text)?.[1]);
  if (value >= 1 && value <= MAX_EVERY_S) return value;
  throw new InvalidArgumentError(`1s to ${MAX_EVERY_S}s.`);
}
