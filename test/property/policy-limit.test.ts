/** The arithmetic of rates and budget windows, for any numbers. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drained, waitMs, windowLeftMs } from '../../src/policy/limit.ts';

const PERIODS = [1_000, 60_000, 3_600_000, 86_400_000];
const rates = fc.record({
  amount: fc.integer({ min: 1, max: 1_000_000 }),
  perMs: fc.constantFrom(...PERIODS),
});

describe('a rate', () => {
  test('lets in what fits as soon as the wait that it named is over, and not before', () => {
    fc.assert(
      fc.property(
        rates,
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (rate, amount, full) => {
          fc.pre(amount <= rate.amount);
          const used = full * rate.amount;
          const wait = waitMs(used, amount, rate);
          expect(waitMs(drained(used, wait, rate), amount, rate)).toBe(0);
          // A millionth of a request may be rounded away: at one request a day that is a tenth of a second.
          const early = wait - 1 - Math.ceil((1e-6 * rate.perMs) / rate.amount);
          if (early >= 1) expect(waitMs(drained(used, early, rate), amount, rate)).toBeGreaterThan(0);
        },
      ),
    );
  });

  test('never lets in more than one bucket and what drains meanwhile', () => {
    fc.assert(
      fc.property(
        fc.record({ amount: fc.integer({ min: 1, max: 50 }), perMs: fc.constantFrom(...PERIODS) }),
        fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 200 }),
        (rate, gaps) => {
          let used = 0;
          let let_in = 0;
          let elapsed = 0;
          for (const gap of gaps) {
            elapsed += gap;
            used = drained(used, gap, rate);
            if (waitMs(used, 1, rate) > 0) continue;
            used += 1;
            let_in += 1;
          }
          expect(let_in).toBeLessThanOrEqual(rate.amount + (elapsed * rate.amount) / rate.perMs + 0.01);
        },
      ),
    );
  });

  test('says never to what is larger than the whole bucket', () => {
    expect(waitMs(0, 11, { amount: 10, perMs: 1_000 })).toBe(Number.POSITIVE_INFINITY);
  });

  test('gives nothing back when the time seems to run backwards', () => {
    expect(drained(7, -5_000, { amount: 10, perMs: 1_000 })).toBe(7);
  });
});

describe('a window', () => {
  test('ends with the UTC second, minute, hour or day', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e12, max: 4e12 }), fc.constantFrom(...PERIODS), (now, perMs) => {
        const left = windowLeftMs(now, perMs);
        expect(left).toBeGreaterThanOrEqual(1);
        expect(left).toBeLessThanOrEqual(perMs);
        expect(Math.abs((now + left) % perMs)).toBe(0);
      }),
    );
  });

  test('of a day ends at midnight UTC', () => {
    const now = Date.UTC(2026, 10, 22, 18, 30);
    expect(new Date(now + windowLeftMs(now, 86_400_000)).toISOString()).toBe('2026-11-23T00:00:00.000Z');
  });
});
