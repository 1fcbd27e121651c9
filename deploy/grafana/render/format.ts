/** Numbers as people read them, by the units that our panels have. */
import type { Unit } from '../source/model.ts';

const SCALES = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
] as const;

const DURATIONS = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
  [1e-3, 'ms'],
  [1e-6, 'µs'],
] as const;

/** `now`: seconds since the epoch, for what is told as an age. */
export function format(value: number, unit: Unit, now: number): string {
  switch (unit) {
    case 'count':
      return scaled(Math.round(value));
    case 'short':
      return scaled(value);
    case 'percentunit':
      return `${short(value * 100)} %`;
    case 's':
      return duration(value);
    case 'bytes':
      return `${scaled(value)}B`;
    case 'Bps':
      return `${scaled(value)}B/s`;
    case 'reqps':
      return `${scaled(value)}/s`;
    case 'cpm':
      return `${scaled(value)}/min`;
    case 'dateTimeFromNow':
      return `${duration(Math.max(0, now - value / 1000))} ago`;
    case 'bool_yes_no':
      return value === 0 ? 'no' : 'yes';
  }
}

function scaled(value: number): string {
  for (const [from, letter] of SCALES) {
    if (Math.abs(value) >= from) return `${short(value / from)} ${letter}`;
  }
  return short(value);
}

function duration(seconds: number): string {
  for (const [from, name] of DURATIONS) {
    if (Math.abs(seconds) >= from) return `${short(seconds / from)} ${name}`;
  }
  return '0 s';
}

/** Three digits, and no more than are there. */
function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
