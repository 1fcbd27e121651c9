/** What makes a sample of the load generator count; `npm --prefix bench test`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { read } from './load.ts';

const line = (fields: object): string => JSON.stringify({ ok: 10, err: 0, bad: 0, ...fields });

void test('a run that had a number of operations to do counts only when all were done', () => {
  assert.equal(read(line({ ok: 1, want: 1, gbs: 0.5 })).fault, '');
  assert.match(read(line({ ok: 0, want: 1, gbs: 0.5 })).fault, /^0 of 1 done in time/);
  assert.equal(read(line({ ok: 10, want: 0 })).fault, '');
});

void test('one wrong answer spoils a sample, one failed operation in a thousand does not', () => {
  assert.match(read(line({ bad: 1, e: 'status 401' })).fault, /status 401/);
  assert.equal(read(line({ ok: 1000, err: 1 })).fault, '');
  assert.match(read(line({ ok: 999, err: 1 })).fault, /1 errors to 999 done/);
  assert.match(read(line({ ok: 0 })).fault, /nothing was done/);
});

void test('first events and the peak of the memory are figures of their own', () => {
  const sample = read(line({ p50_ms: 1, first_p50_ms: 2, first_p99_ms: 3, peak_mb: 40, rss_mb: 30 }));
  const { p50, firstP50, firstP99, peak, rss } = sample;
  assert.deepEqual(
    { p50, firstP50, firstP99, peak, rss },
    { p50: 1, firstP50: 2, firstP99: 3, peak: 40, rss: 30 },
  );
});
