import { expect, it } from 'vitest';
import { labelsIn, strangers } from './promql.ts';

const SCRAPE = [
  '# TYPE a_total counter',
  'a_total{group="x{y=\\"z",host="b.test"} 1',
  'h_bucket{le="+Inf",group="x"} 2',
  'plain 3.5e-7',
  '',
].join('\n');

it.each([
  ['sum by (group, host) (increase(a_total{group=~"$group",host!="plain"}[5m])) > 0', []],
  ['histogram_quantile(0.9, sum by (le, group) (rate(h_bucket{job="j"}[$__rate_interval])))', []],
  ['max by (instance) (plain) - time() unless on (job) plain offset 1d', []],
  ['increase((sum by (group) (a_total))[5m:15s]) and plain > 1e3', []],
  ['label_replace(plain, "x", "$1", "job", "(.*)")', []],
  ['sum(a_totals)', ['a_totals']],
  ['a_total{reason="x"}', ['a_total{reason}']],
  ['sum by (reason) (a_total)', ['by (reason)']],
  ['plain * on (job) group_left (version) plain', ['by (version)']],
])('%s names what a scrape does not have: %j', (expr, wrong) => {
  expect(strangers(expr, labelsIn(SCRAPE))).toEqual(wrong);
});
