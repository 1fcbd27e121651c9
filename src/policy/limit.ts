/**
 * The arithmetic of limits: a rate is a bucket that drains evenly, a budget is a window that begins with the
 * UTC second, minute, hour or day. Pure: time is an argument, in milliseconds; `state/memory.ts` keeps the numbers.
 */
import type { Rate } from './units.ts';

/** Parts of one request that rounding may leave in a bucket. */
const ROUNDING = 1e-6;

/** What is left in the bucket after `elapsedMs` (monotonic; a negative one counts as none). Never below 0. */
export function drained(used: number, elapsedMs: number, rate: Rate): number {
  if (elapsedMs <= 0) return used;
  return Math.max(0, used - (elapsedMs * rate.amount) / rate.perMs);
}

/**
 * How long until `amount` more fits into a bucket that holds `used`: whole milliseconds, 0 when it fits now,
 * Infinity when it never will because the whole bucket is smaller.
 */
export function waitMs(used: number, amount: number, rate: Rate): number {
  const over = used + amount - rate.amount;
  if (over <= ROUNDING) return 0;
  return amount > rate.amount ? Number.POSITIVE_INFINITY : Math.ceil((over * rate.perMs) / rate.amount);
}

/** How long the UTC window that `now` (milliseconds since the epoch) is in still lasts: 1 to `perMs`. */
export function windowLeftMs(now: number, perMs: number): number {
  const into = now % perMs;
  return perMs - (into < 0 ? into + perMs : into);
}
