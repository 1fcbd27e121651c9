/**
 * The weekly review as one page: no script, no file beside it, nothing loaded from anywhere, so that it can be mailed
 * and kept. Every word of a sandbox is escaped and shown left to right in its own cell.
 */
import { PERIODS_BEFORE, type Review } from '../audit/review.ts';
import type { GroupReview } from '../audit/review-group.ts';
import { REPORT_STYLE } from './report-style.ts';
import { bytesText } from './report-words.ts';
import { minuteOf } from './table-text.ts';

const SHOWN = 100;
const WIDE = 200;
const CHART = { width: 640, height: 120, gap: 4 } as const;

/** `chain`: what is wrong with the record; null: it is whole. */
export function reviewAsHtml(review: Review, chain: string | null): string {
  const { from, until, firstRecord, records, groups, policies, operators } = review;
  const period = `${day(from)} to ${day(until)}`;
  const compared =
    firstRecord === null
      ? 'There are no records of before, so nothing is called new or odd.'
      : `Set against the ${PERIODS_BEFORE} periods before (records since ${day(firstRecord)}).`;
  const whole =
    chain === null
      ? '<p class="good">The record is whole: every line is as it was written.</p>'
      : `<p class="bad">The record is not whole: ${word(chain)}</p>`;
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    `<title>Sallyport: review ${period}</title><style>${REPORT_STYLE}</style></head><body><main>`,
    `<h1>Review ${period}</h1>`,
    whole,
    `<p>${records} records. ${compared}</p>`,
    ...(groups.length === 0 ? ['<p>No group did anything.</p>'] : groups.map(groupHtml)),
    table('Policies in force', ['policy', 'first', 'last'], policies, ({ hash, first, last }) => [
      word(hash),
      minuteOf(first),
      minuteOf(last),
    ]),
    table(
      'Operators',
      ['when', 'who', 'what', 'group', 'outcome', 'why'],
      operators,
      ({ at, operator, action, group, outcome, why }) => [
        minuteOf(at),
        ...[operator, action, group ?? '', outcome, why ?? ''].map(word),
      ],
    ),
    '</main></body></html>\n',
  ].join('\n');
}

function groupHtml(of: GroupReview): string {
  const { group, allowed, refused, wouldDeny, bytesUp, bytesDown } = of;
  const monitored = wouldDeny === 0 ? '' : `, <strong>${wouldDeny}</strong> of them by monitor mode alone`;
  return [
    `<section><h2>${group === '' ? 'Nobody (not identified)' : word(group)}</h2>`,
    `<p><strong>${allowed}</strong> calls allowed${monitored}; <strong>${refused}</strong> refused; ${bytesText(bytesUp)} up, ${bytesText(bytesDown)} down.</p>`,
    chart(of.days),
    table('Newly seen hosts', ['host'], of.newHosts, (host) => [word(host)]),
    table('Odd rates', ['host', 'calls', 'usually'], of.odd, ({ host, calls, usual }) => [
      word(host),
      String(calls),
      usual.toFixed(0),
    ]),
    table(
      'Misuse of keys',
      ['reason', 'host', 'calls', 'last'],
      of.misuse,
      ({ reason, host, calls, last }) => [word(reason), word(host), String(calls), minuteOf(last)],
    ),
    table('Hosts reached', ['host', 'calls', 'up', 'down', 'periods before'], of.hosts, (one) => [
      word(one.host),
      String(one.calls),
      bytesText(one.bytesUp),
      bytesText(one.bytesDown),
      one.before.join(', '),
    ]),
    table('Refused', ['reason', 'host', 'calls', 'last'], of.refusals, ({ reason, host, calls, last }) => [
      word(reason),
      word(host),
      String(calls),
      minuteOf(last),
    ]),
    table('Keys used', ['key', 'calls', 'hosts', 'first', 'last'], of.keys, (one) => [
      word(one.key),
      String(one.calls),
      one.hosts.map(word).join(', '),
      minuteOf(one.first),
      minuteOf(one.last),
    ]),
    table('Approved by a person', ['who', 'host', 'calls'], of.approvals, ({ by, host, calls }) => [
      word(by),
      word(host),
      String(calls),
    ]),
    '</section>',
  ].join('\n');
}

/** Allowed and refused calls per day, as stacked bars. */
function chart(days: GroupReview['days']): string {
  const most = Math.max(1, ...days.map(({ allowed, refused }) => allowed + refused));
  const { width, height, gap } = CHART;
  const step = width / Math.max(1, days.length);
  const bars = days.map(({ day: name, allowed, refused }, at) => {
    const [good, bad] = [(allowed / most) * height, (refused / most) * height];
    const x = (at * step + gap / 2).toFixed(1);
    const wide = Math.max(1, step - gap).toFixed(1);
    const bar = (tall: number, top: number, kind: string): string =>
      `<rect class="${kind}" x="${x}" y="${top.toFixed(1)}" width="${wide}" height="${tall.toFixed(1)}"/>`;
    const title = `<title>${name}: ${allowed} allowed, ${refused} refused</title>`;
    return `<g>${title}${bar(good, height - good, 'allowed')}${bar(bad, height - good - bad, 'refused')}</g>`;
  });
  const about = `Calls per day, ${days.length} days, at most ${most} a day`;
  return `<figure><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${about}">${bars.join('')}</svg><figcaption>${about}: <span class="allowed-word">allowed</span>, <span class="refused-word">refused</span>.</figcaption></figure>`;
}

function table<T>(
  title: string,
  heads: readonly string[],
  rows: readonly T[],
  cells: (row: T) => readonly string[],
): string {
  if (rows.length === 0) return '';
  const head = heads.map((one) => `<th scope="col">${one}</th>`).join('');
  const body = rows.slice(0, SHOWN).map(
    (row) =>
      `<tr>${cells(row)
        .map((one) => `<td>${one}</td>`)
        .join('')}</tr>`,
  );
  const more =
    rows.length > SHOWN ? `<p>And ${rows.length - SHOWN} more: <code>--json</code> has all.</p>` : '';
  return `<h3>${title} <small>${rows.length}</small></h3><table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table>${more}`;
}

/** Markup; and what cannot be seen or turns the direction of writing, as the console has it. */
const HIDDEN_OR_MARKUP =
  /[&<>"'\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u00a0\u115f\u1160\u2000-\u200f\u3164\uffa0]/gu;

/** Text of a sandbox or of an operator. */
function word(text: string): string {
  const short = text.length > WIDE ? `${text.slice(0, WIDE)}…` : text;
  const safe = short.replaceAll(
    HIDDEN_OR_MARKUP,
    (one) => `&#${/[&<>"']/.test(one) ? one.charCodeAt(0) : 0xfffd};`,
  );
  return `<bdi>${safe}</bdi>`;
}

function day(at: string): string {
  return at.slice(0, 10);
}
