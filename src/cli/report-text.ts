/** The weekly review for a terminal or a mail: columns of plain text, in which nothing can act on a terminal. */
import { PERIODS_BEFORE, type Review } from '../audit/review.ts';
import type { GroupReview } from '../audit/review-group.ts';
import { bytesText } from './report-words.ts';
import { minuteOf } from './table-text.ts';
import { safe } from './terminal-text.ts';

const SHOWN = 15;
const WIDE = 60;

/** `chain`: what is wrong with the record; null: it is whole. */
export function reviewAsText(review: Review, chain: string | null): string {
  const { from, until, firstRecord, records, groups, policies, operators, leftOut } = review;
  const compared =
    firstRecord === null
      ? 'There are no records of before: nothing is called new or odd.'
      : `Set against the ${PERIODS_BEFORE} periods before (records since ${minuteOf(firstRecord)}).`;
  return [
    `Review from ${minuteOf(from)} to ${minuteOf(until)}: ${records} records.`,
    chain === null ? 'The record is whole.' : `THE RECORD IS NOT WHOLE: ${plain(chain)}`,
    compared,
    ...(groups.length === 0 ? ['', 'No group did anything.'] : groups.flatMap(groupLines)),
    ...section(
      'Policies in force',
      policies,
      ({ hash, first, last }) => `${hash}  ${minuteOf(first)} to ${minuteOf(last)}`,
    ),
    ...section('Operators', operators, ({ at, operator, action, group, outcome, why }) =>
      [minuteOf(at), operator, action, group ?? '', outcome, why ?? ''].map(plain).join('  '),
    ),
    ...(leftOut > 0 ? ['', `${leftOut} groups or acts are not listed.`] : []),
    '',
  ].join('\n');
}

function groupLines(of: GroupReview): readonly string[] {
  const { group, allowed, refused, wouldDeny, bytesUp, bytesDown } = of;
  const monitored = wouldDeny === 0 ? '' : ` (${wouldDeny} by monitor mode alone)`;
  return [
    '',
    `== ${group === '' ? 'Nobody (not identified)' : plain(group)}`,
    `   ${allowed} calls allowed${monitored}, ${refused} refused; ${bytesText(bytesUp)} up, ${bytesText(bytesDown)} down`,
    ...section('Newly seen hosts', of.newHosts, (host) => plain(host)),
    ...section(
      'Odd rates',
      of.odd,
      ({ host, calls, usual }) => `${count(calls)}  ${plain(host)}  (usually ${usual.toFixed(0)})`,
    ),
    ...section(
      'Misuse of keys',
      of.misuse,
      ({ calls, reason, host }) => `${count(calls)}  ${reason}  ${plain(host)}`,
    ),
    ...section('Hosts reached', of.hosts, ({ calls, host, bytesUp: up, bytesDown: down }) =>
      [count(calls), plain(host).padEnd(40), `${bytesText(up)} up, ${bytesText(down)} down`].join('  '),
    ),
    ...section('Refused', of.refusals, ({ calls, reason, host, last }) =>
      [count(calls), reason.padEnd(20), plain(host), `last ${minuteOf(last)}`].join('  '),
    ),
    ...section('Keys used', of.keys, ({ calls, key, hosts, last }) =>
      [count(calls), plain(key), `at ${hosts.map(plain).join(', ')}`, `last ${minuteOf(last)}`].join('  '),
    ),
    ...section(
      'Approved by a person',
      of.approvals,
      ({ calls, by, host }) => `${count(calls)}  ${plain(by)}  ${plain(host)}`,
    ),
    ...(of.leftOut > 0 ? [`   ${of.leftOut} calls beyond what is kept are not listed.`] : []),
  ];
}

function section<T>(title: string, rows: readonly T[], line: (row: T) => string): readonly string[] {
  if (rows.length === 0) return [];
  const more = rows.length > SHOWN ? [`      … and ${rows.length - SHOWN} more (--json has all)`] : [];
  return [
    '',
    `   ${title} (${rows.length})`,
    ...rows.slice(0, SHOWN).map((row) => `      ${line(row)}`),
    ...more,
  ];
}

function count(calls: number): string {
  return String(calls).padStart(8);
}

/** Hosts and words of a sandbox, not endless. */
function plain(text: string): string {
  return safe(text, WIDE);
}
