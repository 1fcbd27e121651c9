/** The line that says how far a long reading is. */
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { progressOn } from '../../../src/cli/progress.ts';

function drawn(isTTY: boolean, steps: readonly (readonly [at: number, read: number])[]): string {
  const stderr = Object.assign(new PassThrough(), { isTTY });
  let now = 0;
  const progress = progressOn(stderr, 'reading', () => now);
  for (const [at, read] of steps) {
    now = at;
    progress(read, 1_000);
  }
  return String(stderr.read() ?? '');
}

it('is drawn on a terminal once it takes long, not too often, and is gone at the end', () => {
  const steps = [
    [100, 100],
    [600, 200],
    [650, 300],
    [900, 420],
    [1_000, 1_000],
  ] as const;
  expect(drawn(true, steps)).toBe('\r\x1b[Kreading: 20 %\r\x1b[Kreading: 42 %\r\x1b[K');
});

it('is not drawn for what is quick, nor where nobody looks', () => {
  expect(
    drawn(true, [
      [10, 500],
      [20, 1_000],
    ]),
  ).toBe('');
  expect(
    drawn(false, [
      [600, 500],
      [2_000, 1_000],
    ]),
  ).toBe('');
});
