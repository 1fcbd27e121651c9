import { expect, it } from 'vitest';
import { createSparing } from '../../../src/base/sparing.ts';

it('words that are said again and again are said twenty times in ten seconds, and then with how often they were not', () => {
  let now = 0;
  const sparing = createSparing({ mono: () => now });
  const said: number[] = [];
  for (let n = 0; n < 25; n += 1) sparing((more) => said.push(more));
  expect(said).toEqual(Array.from({ length: 20 }, () => 0));
  now = 10_000;
  sparing((more) => said.push(more));
  sparing((more) => said.push(more));
  expect(said.slice(20)).toEqual([5, 0]);
});
