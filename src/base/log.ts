/**
 * The program's own messages (start, reload, trouble), on standard error: JSON lines for machines, one plain
 * line each on a terminal. Decisions go to the audit trail, not here. Invariant I5: what looks like a
 * credential is cut out of every line, whoever logged it.
 */
import type { Writable } from 'node:stream';
import { type Logger, pino, stdTimeFunctions } from 'pino';
import { openLogSink } from './log-sink.ts';

/** Fields first, then the message: `log.warn({ file }, 'policy not reloaded')`. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export type LogOptions = {
  readonly stream: Writable & { readonly isTTY?: boolean };
  readonly level?: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** one line for people instead of JSON; by default where `stream` is a terminal */
  readonly pretty?: boolean;
  readonly colour?: boolean;
  /** stands in every line: which of several processes says it */
  readonly worker?: number;
};

/** Fields that hold credentials wherever they turn up, at the top or one level down. */
const SECRET_FIELDS = [
  'authorization',
  'proxyAuthorization',
  'proxy-authorization',
  'token',
  'secret',
  'password',
  'passphrase',
  'cookie',
  'value',
] as const;

/** Tokens of sandboxes, of the admin side and of operators, credentials in URLs, and values of authorization fields inside free text. */
const CREDENTIALS: readonly (readonly [RegExp, string])[] = [
  [/sp_tok_[0-9a-z]+_[0-9A-Za-z]+/g, '[token]'],
  [/\bspa_[0-9A-Za-z_-]{16,}|\bspo_[0-9a-z._-]+_[0-9A-Za-z_-]{43}/g, '[token]'],
  [/(:\/\/)[^/\s@"\\]+@/g, '$1[credentials]@'],
  [/\b(basic|bearer) +[A-Za-z0-9\-._~+/]{16,}=*/gi, '$1 [credentials]'],
];

const LEVELS: Readonly<Record<number, readonly [string, string]>> = {
  20: ['debug', '\x1b[2m'],
  30: ['info', '\x1b[32m'],
  40: ['warn', '\x1b[33m'],
  50: ['error', '\x1b[31m'],
};

export function createLog(opts: LogOptions): Log {
  const pretty = opts.pretty ?? opts.stream.isTTY === true;
  const colour = opts.colour ?? false;
  const line = (json: string): string => redact(pretty ? prettyLine(json, colour) : json);
  const { worker } = opts;
  const lostLine = (lost: number): string =>
    line(
      `${JSON.stringify({ level: 40, time: new Date().toISOString(), worker, lost, msg: 'log: lines were lost, since nobody read them' })}\n`,
    );
  return pino(
    {
      level: opts.level ?? 'info',
      base: worker === undefined ? null : { worker },
      timestamp: stdTimeFunctions.isoTime,
      redact: { paths: SECRET_FIELDS.flatMap(redactPaths), censor: '[redacted]' },
      hooks: { streamWrite: line },
    },
    openLogSink(opts.stream, lostLine),
  );
}

function redact(line: string): string {
  return CREDENTIALS.reduce((text, [pattern, instead]) => text.replace(pattern, instead), line);
}

function redactPaths(field: string): string[] {
  return [`["${field}"]`, `*["${field}"]`];
}

/** `12:30:01 warn  policy not reloaded file=policies/a.yaml`; what cannot be read goes out as it came. */
function prettyLine(json: string, colour: boolean): string {
  const fields = readFields(json);
  if (fields === null) return json;
  const [name, code] = LEVELS[Number(fields.get('level'))] ?? ['log', ''];
  const time = textOf(fields.get('time') ?? '').slice(11, 19);
  const message = textOf(fields.get('msg') ?? '');
  for (const shown of ['level', 'time', 'msg']) fields.delete(shown);
  const more = [...fields].map(([key, value]) => `${key}=${textOf(value)}`);
  const label = name.padEnd(5);
  return `${[time, colour ? `${code}${label}\x1b[0m` : label, message, ...more].join(' ')}\n`;
}

function readFields(json: string): Map<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(json);
    return typeof parsed === 'object' && parsed !== null ? new Map(Object.entries(parsed)) : null;
  } catch {
    return null; // not a line of pino's: shown raw by the caller
  }
}

function textOf(value: unknown): string {
  const error = typeof value === 'object' && value !== null && 'message' in value ? value.message : value;
  const text = typeof error === 'string' ? error : (JSON.stringify(error) ?? '');
  // Log lines hold bytes that clients chose: nothing of them may reach the terminal as a control sequence.
  const hex = (char: string): string => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, hex);
}
