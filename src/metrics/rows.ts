/** Rows of metrics, as most of them are made. Used by `register*.ts`. */
import type { Row } from './prom-metrics.ts';
import type { Tally } from './tally.ts';

export function row(labels: Row['labels'], value: number): Row {
  return { labels, value };
}

/** One row for each outcome that was counted. */
export function outcomes(tally: Tally): Row[] {
  return [...tally.rows()].map(([outcome, , value]) => row({ outcome }, value));
}
