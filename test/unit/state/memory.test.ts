/** The store of one process: rates, budgets and places, their windows and what a changed limit does to them. */
import { beforeEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../src/state/memory.ts';

const MIDNIGHT = Date.UTC(2026, 10, 22);
const HOUR = 3_600_000;
let wall = MIDNIGHT;
let mono = 0;
const clock = { now: () => wall, mono: () => mono };
let store = new MemoryStore(clock);

beforeEach(() => {
  wall = MIDNIGHT;
  mono = 0;
  store = new MemoryStore(clock);
});

function pass(ms: number): void {
  wall += ms;
  mono += ms;
}

function take(amount: number, perMs: number, key = 'a'): { wait: number; used: number } {
  let answer: { wait: number; used: number } | null = null;
  store.take({ key, rate: { amount, perMs }, amount: 1 }, (wait, used) => {
    answer = { wait, used };
  });
  if (answer === null) throw new Error('not told during the call');
  return answer;
}

function spend(bytes: number, amount: number, perMs = 24 * HOUR): { left: number; windowMs: number } {
  let answer: { left: number; windowMs: number } | null = null;
  store.spend({ key: 'a', budget: { amount, perMs }, amount: bytes }, (left, windowMs) => {
    answer = { left, windowMs };
  });
  if (answer === null) throw new Error('not told during the call');
  return answer;
}

function hold(max: number, key = 'a'): boolean {
  let answer: boolean | null = null;
  store.hold({ key, max }, (held) => {
    answer = held;
  });
  if (answer === null) throw new Error('not told during the call');
  return answer;
}

describe('a rate', () => {
  test('refuses what is too much without counting it, and says when the next one fits', () => {
    expect([take(2, 1_000).wait, take(2, 1_000).wait]).toEqual([0, 0]);
    expect(take(2, 1_000)).toEqual({ wait: 500, used: 2 });
    expect(take(2, 1_000).wait).toBe(500);
    pass(500);
    expect(take(2, 1_000).wait).toBe(0);
  });

  test('belongs to one key', () => {
    expect(take(1, 60_000, 'a').wait).toBe(0);
    expect(take(1, 60_000, 'b').wait).toBe(0);
    expect(take(1, 60_000, 'a').wait).toBeGreaterThan(0);
  });

  test('keeps what was used when it is raised or lowered', () => {
    for (let n = 0; n < 4; n += 1) take(4, 60_000);
    expect(take(4, 60_000).wait).toBeGreaterThan(0);
    expect(take(6, 60_000)).toEqual({ wait: 0, used: 5 });
    // Lowered to two a minute: full, and no fuller than that.
    expect(take(2, 60_000)).toEqual({ wait: 30_000, used: 2 });
  });
});

describe('a budget', () => {
  test('is counted down to below zero and begins anew at midnight UTC', () => {
    pass(23 * HOUR);
    expect(spend(60, 100)).toEqual({ left: 40, windowMs: HOUR });
    expect(spend(60, 100).left).toBe(-20);
    pass(HOUR);
    expect(spend(0, 100)).toEqual({ left: 100, windowMs: 24 * HOUR });
  });

  test('is not given back by setting the wall clock, on or back', () => {
    expect(spend(100, 100).left).toBe(0);
    wall += 24 * HOUR;
    expect(spend(0, 100).left).toBe(0);
    wall -= 48 * HOUR;
    expect(spend(0, 100).left).toBe(0);
  });

  test('keeps what was spent when its amount changes', () => {
    spend(100, 100);
    expect(spend(0, 250).left).toBe(150);
    expect(spend(0, 50).left).toBe(-50);
  });
});

describe('places', () => {
  test('are as many as said, and come back one by one', () => {
    expect([hold(2), hold(2), hold(2)]).toEqual([true, true, false]);
    store.release('a');
    expect([hold(2), hold(2)]).toEqual([true, false]);
  });

  test('that were given back too often are not more than before', () => {
    store.release('a');
    store.release('a');
    expect([hold(1), hold(1)]).toEqual([true, false]);
  });
});

describe('the cap on keys', () => {
  test('refuses new keys while the known ones are in use, and makes room when they are not', () => {
    store = new MemoryStore(clock, 2);
    expect([take(9, 1_000, 'a').wait, take(9, 1_000, 'b').wait]).toEqual([0, 0]);
    expect(take(9, 1_000, 'c').wait).toBe(1_000);
    expect(take(9, 1_000, 'a').wait).toBe(0);
    pass(1_000);
    expect(take(9, 1_000, 'c').wait).toBe(0);
    expect([hold(1, 'a'), hold(1, 'b'), hold(1, 'c')]).toEqual([true, true, false]);
  });
});
