/** Durations, sizes and rates as people write them in policy and settings files. Read by schema and compiler. */

const TIME = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZE = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const;

export const DURATION = /^([1-9][0-9]{0,8}|0)(ms|s|m|h|d)$/;
export const REQUEST_RATE = /^([1-9][0-9]{0,8})\/(s|m|h|d)$/;
export const BYTE_RATE = /^([1-9][0-9]{0,8})(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)\/(s|m|h|d)$/;

export type Rate = { readonly amount: number; readonly perMs: number };

/** `5m` in milliseconds. The schema has checked the text; anything else gives 0, the strictest limit. */
export function durationMs(text: string): number {
  const [, count, unit] = DURATION.exec(text) ?? [];
  return count === undefined || !isKey(TIME, unit) ? 0 : Number(count) * TIME[unit];
}

/** `600/m`: how many in how many milliseconds. */
export function requestRate(text: string): Rate {
  const [, count, unit] = REQUEST_RATE.exec(text) ?? [];
  return count === undefined || !isKey(TIME, unit)
    ? { amount: 0, perMs: TIME.d }
    : { amount: Number(count), perMs: TIME[unit] };
}

/** `1GiB/d`: how many bytes in how many milliseconds. */
export function byteRate(text: string): Rate {
  const [, count, size, unit] = BYTE_RATE.exec(text) ?? [];
  return count === undefined || !isKey(SIZE, size) || !isKey(TIME, unit)
    ? { amount: 0, perMs: TIME.d }
    : { amount: Number(count) * SIZE[size], perMs: TIME[unit] };
}

/** `600/m` of a rate, as it is written in a policy. */
export function requestRateText({ amount, perMs }: Rate): string {
  return `${amount}/${periodText(perMs)}`;
}

/** `1GiB/d` of a byte rate, in the largest unit that divides it. */
export function byteRateText({ amount, perMs }: Rate): string {
  const [unit, size] = Object.entries(SIZE).reduce(
    (best, at) => (amount % at[1] === 0 && at[1] > best[1] ? at : best),
    ['B', 1],
  );
  return `${amount / size}${unit}/${periodText(perMs)}`;
}

function periodText(perMs: number): string {
  return Object.entries(TIME).find(([, ms]) => ms === perMs)?.[0] ?? `${perMs}ms`;
}

function isKey<T extends object>(table: T, key: string | undefined): key is Extract<keyof T, string> {
  return key !== undefined && Object.hasOwn(table, key);
}
