import { describe, expect, it } from 'vitest';
import { SmallPieces } from '../../../src/intercept/small-pieces.ts';

function scene() {
  const taken: string[] = [];
  let apart = 0;
  const pieces = new SmallPieces({
    take: (bytes) => void taken.push(bytes.toString('latin1')),
    apart: (step) => {
      apart += 1;
      step();
    },
  });
  const shared = Buffer.alloc(16 * 1024);
  const feed = (text: string): void => pieces.feed(shared.subarray(0, shared.write(text, 'latin1')));
  return { pieces, taken, feed, aparts: () => apart };
}

describe('a body that comes in pieces', () => {
  it('of a few bytes is searched once for each read, in order', async () => {
    const { taken, feed, aparts } = scene();
    for (const text of ['a', 'b', 'c']) feed(text);
    expect(taken).toEqual([]);
    await Promise.resolve();
    expect(taken).toEqual(['abc']);
    expect(aparts()).toBe(1);
    feed('d');
    feed('L'.repeat(600));
    expect(taken.slice(1)).toEqual(['d', 'L'.repeat(600)]);
  });

  it('never waits with more than a few kilobytes', () => {
    const { taken, feed } = scene();
    for (let n = 0; n < 20_000; n += 1) feed('x');
    expect(taken.length).toBeGreaterThan(1);
    expect(taken.length).toBeLessThan(10);
    expect(taken.every((text) => text.length <= 8_192)).toBe(true);
  });

  it('tells nothing once it was stopped', async () => {
    const { pieces, taken, feed } = scene();
    feed('a');
    pieces.stop();
    await Promise.resolve();
    expect(taken).toEqual([]);
  });
});
