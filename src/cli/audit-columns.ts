/** One record as a line for people. Used by `audit.ts`. */
import { safe } from './terminal-text.ts';

const WIDTHS = { time: 24, what: 10, group: 14, who: 18, method: 7 } as const;

export function columnHeads(): string {
  const { time, what, group, who, method } = WIDTHS;
  const fixed = [pad('TIME', time), pad('WHAT', what), pad('GROUP', group), pad('IDENTITY', who)];
  return [...fixed, pad('METHOD', method), 'TARGET  OUTCOME'].join(' ');
}

/** `line`: one record as it stands in the file. A line that is none is shown as such, escaped. */
export function columnsOf(line: string): string {
  const fields = fieldsOf(line);
  if (fields === null) return `(not a record) ${safe(line.slice(0, 200))}`;
  const { time, what, group, who, method } = WIDTHS;
  const kind = textOf(fields, 'kind');
  if (kind === 'operator') return operatorColumns(fields);
  const verdict = kind === 'decision' ? textOf(fields, 'verdict') : kind;
  return [
    pad(textOf(fields, 'at'), time),
    pad(verdict, what),
    pad(textOf(fields, 'group'), group),
    pad(textOf(fields, 'identity'), who),
    pad(textOf(fields, 'method'), method),
    `${target(fields)}  ${kind === 'decision' ? decided(fields) : ended(fields)}`.trimEnd(),
  ].join(' ');
}

/** What somebody did stands where a request has its target. */
function operatorColumns(fields: Fields): string {
  const { time, what, group, who, method } = WIDTHS;
  const done = [textOf(fields, 'action'), textOf(fields, 'subject', '')].filter((part) => part !== '');
  const outcome = [textOf(fields, 'outcome'), textOf(fields, 'origin'), textOf(fields, 'why', '')];
  return [
    pad(textOf(fields, 'at'), time),
    pad('operator', what),
    pad(textOf(fields, 'group'), group),
    pad(textOf(fields, 'operator'), who),
    pad('-', method),
    `${done.join(' ')}  ${outcome.join(' ')}`.trimEnd(),
  ].join(' ');
}

type Fields = ReadonlyMap<string, unknown>;

function target(fields: Fields): string {
  const host = textOf(fields, 'host');
  const path = textOf(fields, 'path', '');
  if (host === '-') return path === '' ? '-' : path;
  const name = host.includes(':') ? `[${host}]` : host;
  return `${name}:${textOf(fields, 'port')}${path}`;
}

function decided(fields: Fields): string {
  const rule = fields.get('rule');
  const at =
    typeof rule === 'object' && rule !== null ? new Map<string, unknown>(Object.entries(rule)) : null;
  const by = at === null ? '' : `(${textOf(at, 'file')}:${textOf(at, 'line')} ${textOf(at, 'text')})`;
  return [textOf(fields, 'reason', ''), textOf(fields, 'treat', ''), by]
    .filter((part) => part !== '')
    .join(' ');
}

function ended(fields: Fields): string {
  const parts = [
    textOf(fields, 'ended'),
    textOf(fields, 'status'),
    textOf(fields, 'reason', ''),
    `${textOf(fields, 'ms')}ms`,
    `up ${textOf(fields, 'bytes_up')}`,
    `down ${textOf(fields, 'bytes_down')}`,
  ];
  return parts.filter((part) => part !== '').join(' ');
}

function fieldsOf(line: string): Fields | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null
      ? new Map<string, unknown>(Object.entries(value))
      : null;
  } catch {
    // Foreign bytes in the file: shown, not hidden; `audit verify` says what they are.
    return null;
  }
}

function textOf(fields: Fields, name: string, absent = '-'): string {
  const value = fields.get(name);
  // The one character beyond ASCII that we write ourselves: it stands for what was left out.
  if (typeof value === 'string') return safe(value.replaceAll('…', '...'));
  return typeof value === 'number' ? String(value) : absent;
}

function pad(text: string, width: number): string {
  return text.padEnd(width);
}
