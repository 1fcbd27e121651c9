/** Grafana's variables filled in, as it would for all groups, hosts and proxies: for whoever asks Prometheus without it. */

export type Times = {
  /** seconds */
  readonly range: number;
  /** seconds between two points */
  readonly step: number;
  /** seconds between two scrapes */
  readonly scrape: number;
};

/** `$__rate_interval` as Grafana computes it: never fewer than four scrapes. */
export function fill(expr: string, { range, step, scrape }: Times): string {
  const rateInterval = Math.max(step + scrape, 4 * scrape);
  return expr
    .replaceAll('$__range_s', `${range}`)
    .replaceAll('$__range', `${range}s`)
    .replaceAll('$__rate_interval', `${rateInterval}s`)
    .replaceAll(':15s]', `:${scrape}s]`)
    .replaceAll(/\$(?:instance|group|reason|host)\b/g, '.*');
}
