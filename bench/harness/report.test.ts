/** The arithmetic behind the tables; `npm --prefix bench test`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOTHING } from './load.ts';
import { compared, figureOf, joined, judge, markdown, median, type Series } from './report.ts';
import { ROWS, type Row } from './rows.ts';

const costs = (name: string, ...us: number[]): Series => ({
  name,
  samples: us.map((usPerOp) => ({ ...NOTHING, usPerOp })),
});

function keepalive(): Row {
  const row = ROWS.find((one) => one.id === 'keepalive');
  assert.ok(row);
  return row;
}

void test('the median of an even number of values lies between the middle two, of none there is none', () => {
  assert.equal(median([9, 1, 3, 5]), 4);
  assert.equal(median([3, 1, 9]), 3);
  assert.equal(median([]), null);
});

void test('a ratio is taken within a round: a machine that slows down for both does not move it', () => {
  const ours = costs('sallyport', 50, 100, 400);
  const theirs = costs('squid', 100, 200, 800);
  assert.equal(compared(ours, theirs, 'usPerOp', 'ratio'), 0.5);
  assert.equal(compared(ours, theirs, 'usPerOp', 'above'), -100);
});

void test('what was started several times is one row, without whoever was missing once', () => {
  const row = keepalive();
  const [first, second] = [
    { row, series: [costs('sallyport', 50), costs('squid', 100), costs('nginx', 10)], skipped: [] },
    { row, series: [costs('sallyport', 90), costs('squid', 100)], skipped: ['nginx: did not start'] },
  ];
  const { series, skipped } = joined(row, [first, second]);
  assert.deepEqual(series, [costs('sallyport', 50, 90), costs('squid', 100, 100)]);
  assert.deepEqual(skipped, ['nginx: did not start']);
  assert.deepEqual(joined(row, []), { row, series: [], skipped: [] });
});

void test('a sample with a fault counts neither by itself nor in a pair', () => {
  const ours = costs('sallyport', 50, 1);
  const broken: Series = {
    ...ours,
    samples: ours.samples.map((one, i) => (i === 1 ? { ...one, fault: '401' } : one)),
  };
  assert.equal(figureOf(broken, 'usPerOp'), 50);
  assert.equal(compared(broken, costs('squid', 100, 100), 'usPerOp', 'ratio'), 0.5);
});

void test('a goal is reached at its figure, not reached above it, and not measured without both sides', () => {
  const outcome = (...series: Series[]) =>
    judge({ row: keepalive(), series, skipped: [] }).map((goal) => goal.outcome);
  const ours = costs('sallyport', 40);
  assert.deepEqual(outcome(ours, costs('squid', 100), costs('nginx', 20)), ['reached', 'not reached']);
  assert.deepEqual(outcome(ours, costs('squid', 99)), ['not reached', 'not measured']);
  assert.deepEqual(outcome(costs('squid', 99)), ['not measured', 'not measured']);
});

void test('the results name every participant, every fault and every one that was skipped', () => {
  const faulty: Series = { name: 'nginx', samples: [{ ...NOTHING, fault: '3 answers were not 200' }] };
  const series = [costs('sallyport', 40), faulty];
  const text = markdown([{ row: keepalive(), series, skipped: ['squid: needs squid'] }], ['about']);
  for (const part of ['sallyport', '3 answers were not 200', 'squid: needs squid', 'about']) {
    assert.ok(text.includes(part), part);
  }
});
