/**
 * A histogram that costs a search and three additions per observation: prom-client's own hashes its labels
 * each time. `prom-metrics.ts` hands the numbers to prom-client at scrape.
 */
export class PlainHistogram {
  /** upper bounds, ascending, without +Inf */
  readonly bounds: readonly number[];
  /** observations per bound, not cumulative; the last one is +Inf */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value <= (bounds[middle] ?? Number.POSITIVE_INFINITY)) high = middle;
      else low = middle + 1;
    }
    this.counts[low] = (this.counts[low] ?? 0) + 1;
    this.sum += value;
  }
}
