/** Turns samples into medians, ratios within a round, goals reached or not, and tables for people. */
import type { Sample } from './load.ts';
import type { Goal, Row } from './rows.ts';

export type Figure = keyof Omit<Sample, 'fault'>;

/** Samples of one participant, one per round and in the order of the rounds. */
export type Series = { readonly name: string; readonly samples: readonly Sample[] };

export type RowResult = {
  readonly row: Row;
  readonly series: readonly Series[];
  readonly skipped: readonly string[];
};

export type GoalResult = {
  readonly row: string;
  readonly goal: string;
  readonly figure: number | null;
  readonly atMost: number;
  readonly outcome: 'reached' | 'not reached' | 'not measured';
};

const LABELS: Record<Figure, { head: string; digits: number }> = {
  rate: { head: 'op/s', digits: 0 },
  usPerOp: { head: 'CPU µs/op', digits: 1 },
  p50: { head: 'p50 ms', digits: 3 },
  p99: { head: 'p99 ms', digits: 3 },
  rss: { head: 'RSS MiB', digits: 1 },
  gbs: { head: 'GB/s', digits: 2 },
  cpuPerGb: { head: 'CPU s/GB', digits: 3 },
  firstP50: { head: 'first p50 ms', digits: 3 },
  firstP99: { head: 'first p99 ms', digits: 3 },
  peak: { head: 'peak RSS MiB', digits: 1 },
  kibEach: { head: 'KiB each', digits: 1 },
};

const OURS = 'sallyport';

export function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const low = sorted[Math.floor((sorted.length - 1) / 2)];
  const high = sorted[Math.ceil((sorted.length - 1) / 2)];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

/** Median of a participant's figure over the rounds that count. */
export function figureOf(series: Series | undefined, figure: Figure): number | null {
  return median(
    (series?.samples ?? []).filter((sample) => sample.fault === '').map((sample) => sample[figure]),
  );
}

/**
 * Median over rounds of `ours` set against `theirs` of the same round: the machine's speed drifts between
 * rounds, hardly within one.
 */
export function compared(
  ours: Series | undefined,
  theirs: Series | undefined,
  figure: Figure,
  kind: 'ratio' | 'above',
): number | null {
  const pairs = (ours?.samples ?? []).flatMap((own, round) => {
    const other = theirs?.samples[round];
    if (other === undefined || own.fault !== '' || other.fault !== '') return [];
    if (kind === 'above') return [own[figure] - other[figure]];
    return other[figure] > 0 ? [own[figure] / other[figure]] : [];
  });
  return median(pairs);
}

/** Several starts of one row as one. Who did not come up each time is left out: rounds are compared in pairs. */
export function joined(row: Row, starts: readonly RowResult[]): RowResult {
  const series = (starts[0]?.series ?? []).flatMap(({ name }) => {
    const each = starts.map((start) => named(start, name)?.samples);
    return each.includes(undefined) ? [] : [{ name, samples: each.flatMap((samples) => samples ?? []) }];
  });
  return { row, series, skipped: [...new Set(starts.flatMap(({ skipped }) => skipped))] };
}

export function judge(result: RowResult): GoalResult[] {
  const ours = named(result, OURS);
  return result.row.goals.map((goal) => {
    const figure =
      goal.kind === 'plain'
        ? figureOf(ours, goal.figure)
        : compared(ours, named(result, goal.against ?? ''), goal.figure, goal.kind);
    return {
      row: result.row.id,
      goal: wordsOf(goal),
      figure,
      atMost: goal.atMost,
      outcome: figure === null ? 'not measured' : figure <= goal.atMost ? 'reached' : 'not reached',
    };
  });
}

/** Markdown: a table per row, then what was asked and what was reached. */
export function markdown(results: readonly RowResult[], about: readonly string[]): string {
  const parts = ['# Sallyport beside its peers', '', ...about.map((line) => `- ${line}`)];
  for (const result of results) {
    parts.push('', `## ${result.row.id}: ${result.row.title}`, '', ...rowTable(result));
    for (const line of result.skipped) parts.push('', `Skipped: ${line}`);
  }
  parts.push('', '## What is asked, and what was reached', '', ...goalTable(results));
  return `${parts.join('\n')}\n`;
}

export function rowTable(result: RowResult): string[] {
  const { row, series } = result;
  const ours = named(result, OURS);
  const head = ['proxy', ...row.columns.map((column) => LABELS[column].head), 'sallyport / it'];
  const body = series.map((one) => {
    const fault = one.samples.find((sample) => sample.fault !== '')?.fault;
    const cells = row.columns.map((column) => shown(figureOf(one, column), LABELS[column].digits));
    const ratio = one === ours ? '1' : shown(compared(ours, one, row.figure, 'ratio'), 2);
    return [fault === undefined ? one.name : `${one.name} (fault: ${fault})`, ...cells, ratio];
  });
  return aligned([head, ...body]);
}

export function goalTable(results: readonly RowResult[]): string[] {
  const goals = results.flatMap(judge);
  const body = goals.map((one) => [one.row, one.goal, String(one.atMost), shown(one.figure, 2), one.outcome]);
  return aligned([['row', 'asked', 'at most', 'measured', 'outcome'], ...body]);
}

function wordsOf(goal: Goal): string {
  const { head } = LABELS[goal.figure];
  switch (goal.kind) {
    case 'ratio':
      return `${head}, as a share of ${goal.against}`;
    case 'above':
      return `${head} over ${goal.against}, ${goal.unit}`;
    case 'plain':
      return `${head}, ${goal.unit}`;
  }
}

function named(result: RowResult, name: string): Series | undefined {
  return result.series.find((one) => one.name === name);
}

function shown(value: number | null, digits: number): string {
  return value === null ? '-' : value.toFixed(digits);
}

/** A Markdown table whose columns also line up in a terminal. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(Math.max(width - 1, 1))}:`)).join(' | ')} |`;
  const [head, ...body] = rows;
  return [line(head ?? []), rule, ...body.map(line)];
}
