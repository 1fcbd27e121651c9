/** One frame of `top` as lines of text. Everything that others wrote is made harmless here. */
import { safe } from './terminal-text.ts';
import type { TopView } from './top-read.ts';

const NAME_WIDTH = 24;

export type Frame = {
  readonly columns: number;
  /** no more lines than this */
  readonly rows: number;
  readonly colours: boolean;
};

const PLAIN = '\x1b[0m';
const BOLD = '\x1b[1m';
const RED = '\x1b[31m';
const YELLOW = '\x1b[33m';

type Line = { readonly text: string; readonly style?: string };

/** The lines, each cut to the width; a colour ends with its line. */
export function frameText(view: TopView, { columns, rows, colours }: Frame): string {
  const lines = [...headLines(view), ...groupLines(view), ...heldLines(view), ...blockedLines(view)];
  const shown = lines.slice(0, rows).map(({ text, style }) => {
    const cut = text.slice(0, columns);
    return colours && style !== undefined ? `${style}${cut}${PLAIN}` : cut;
  });
  return `${shown.join('\n')}\n`;
}

function headLines({ version, ready, why, locks, at }: TopView): Line[] {
  const state = ready ? 'ready' : `not ready: ${safe(why.join(', '))}`;
  const head = { text: `sallyport ${safe(version)}  ${new Date(at).toISOString().slice(0, 19)}Z  ${state}` };
  const locked = locks.map(({ group, since, by, reason }) => ({
    text: `LOCKED ${group === '*' ? 'everybody' : safe(group)} since ${safe(since)} by ${safe(by)}: ${safe(reason) || '-'}`,
    style: RED,
  }));
  return [ready ? { ...head, style: BOLD } : { ...head, style: RED }, ...locked];
}

function groupLines({ groups }: TopView): Line[] {
  const rows = groups.map(({ group, mode, open_connections: open, per_second: rate, requests, keys }) => ({
    text: `${name(group)} ${mode.padEnd(8)} ${right(open)} ${right(rate === null ? '-' : rate.toFixed(1))} ${right(requests)} ${right(`${keys.usable}/${keys.total}`)}`,
  }));
  const heads = `${'GROUP'.padEnd(NAME_WIDTH)} ${'MODE'.padEnd(8)} ${right('OPEN')} ${right('REQ/S')} ${right('ENDED')} ${right('KEYS')}`;
  return [{ text: '' }, { text: heads, style: BOLD }, ...rows];
}

function heldLines({ held, at }: TopView): Line[] {
  if (held.length === 0) return [];
  const rows = held.map(({ id, group, method, url, expires }) => ({
    text: `${name(group)} ${right(`${Math.max(0, Math.round((Date.parse(expires) - at) / 1000))} s`)}  ${safe(id)}  ${safe(method)} ${safe(url)}`,
    style: YELLOW,
  }));
  return [{ text: '' }, { text: `WAITS FOR A PERSON (${held.length})`, style: BOLD }, ...rows];
}

function blockedLines({ blocked }: TopView): Line[] {
  if (blocked.length === 0) return [];
  const rows = blocked.map(({ group, host, reason, count }) => ({
    text: `${name(group)} ${right(count)}  ${safe(host)}  ${safe(reason)}`,
  }));
  return [{ text: '' }, { text: 'MOST REFUSED', style: BOLD }, ...rows];
}

function name(group: string): string {
  return safe(group).slice(0, NAME_WIDTH).padEnd(NAME_WIDTH);
}

function right(value: string | number): string {
  return String(value).padStart(8);
}
