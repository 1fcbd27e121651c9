/** Values of options, in the form in which Commander has them parsed: what does not fit is wrong use, in words. */
import { InvalidArgumentError } from 'commander';
import { DURATION } from '../policy/units.ts';

/** As it was written: `durationMs` reads it. */
export function duration(text: string): string {
  if (DURATION.test(text)) return text;
  throw new InvalidArgumentError('a duration such as 90m, 24h, 7d.');
}

/** Both ends count. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`a whole number from ${least} to ${most}.`);
  };
}
