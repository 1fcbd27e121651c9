import { setImmediate as loopTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Rotation } from '../../../src/base/rotation.ts';

/** A clock that moves on with every piece of work. */
function scene(msPerPiece: number) {
  let now = 0;
  const done: string[] = [];
  const rotation = new Rotation({ now: () => now, mono: () => now });
  const ask = (party: string, name: string, times = 1): void => {
    let left = times;
    const piece = {
      inTurn: (): void => {
        now += msPerPiece;
        done.push(name);
        left -= 1;
        if (left > 0) rotation.ask(party, piece);
      },
    };
    rotation.ask(party, piece);
  };
  return { done, rotation, ask };
}

it('nothing is done in the turn that asks', async () => {
  const { done, ask } = scene(0);
  ask('a', 'a');
  expect(done).toEqual([]);
  await loopTurn();
  expect(done).toEqual(['a']);
});

it('a party with many pieces does not come before one with a single piece', async () => {
  const { done, ask } = scene(0);
  for (const name of ['a1', 'a2', 'a3']) ask('a', name);
  ask('b', 'b1');
  await loopTurn();
  expect(done).toEqual(['a1', 'b1', 'a2', 'a3']);
});

it('a turn ends when its time is used up, and the next one goes on', async () => {
  const { done, ask } = scene(1);
  ask('a', 'a', 3);
  for (let turns = 1; turns <= 3; turns += 1) {
    await loopTurn();
    expect(done).toHaveLength(turns);
  }
  await loopTurn();
  expect(done).toHaveLength(3);
});

it('a turn ends even where time stands still', async () => {
  const { done, ask } = scene(0);
  ask('a', 'a', 100_000);
  await loopTurn();
  expect(done.length).toBeGreaterThan(0);
  expect(done.length).toBeLessThan(1_000);
});

it('what asks again while it waits waits once', async () => {
  const { rotation } = scene(0);
  let count = 0;
  const piece = {
    inTurn: (): void => {
      count += 1;
    },
  };
  rotation.ask('a', piece);
  rotation.ask('a', piece);
  await loopTurn();
  await loopTurn();
  expect(count).toBe(1);
});
