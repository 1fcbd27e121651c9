/** Limits over a store that answers after the call: nothing is refused, and no place lost, for want of an answer. */
import { describe, expect, it } from 'vitest';
import { Seats } from '../../../src/base/seats.ts';
import { createLimits } from '../../../src/gate/limits.ts';
import type { CompiledGroup } from '../../../src/policy/model.ts';
import { MemoryStore } from '../../../src/state/memory.ts';
import type { StateStore } from '../../../src/state/store.ts';
import { movableClock } from '../../helpers/world.ts';

function scene(limits: CompiledGroup['limits']) {
  const clock = movableClock();
  const inner = new MemoryStore(clock);
  const waiting: (() => void)[] = [];
  const store: StateStore = {
    take: (ask, told) => inner.take(ask, (...answer) => void waiting.push(() => told(...answer))),
    spend: (ask, told) => inner.spend(ask, (...answer) => void waiting.push(() => told(...answer))),
    hold: (ask, told) => inner.hold(ask, (...answer) => void waiting.push(() => told(...answer))),
    release: (key) => inner.release(key),
  };
  const keeper = createLimits({ store, clock });
  const group = (name: string): CompiledGroup => ({
    name,
    mode: 'enforce',
    rules: [],
    sources: [],
    token: 'optional',
    refuse: 'on_connect',
    secrets: [],
    secretTotal: 0,
    excluded: [],
    file: `${name}.yaml`,
    ...(limits === undefined ? {} : { limits }),
  });
  const answer = (): void => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) next();
  };
  keeper.adopt([group('a'), group('b')], []);
  return { keeper, answer };
}

describe('a budget whose store has not answered yet', () => {
  it('is not spent', () => {
    const { keeper } = scene({ upload: { amount: 1_000, perMs: 86_400_000 } });
    let why: unknown = 'not told';
    keeper.of('a').admit({ seat: null, request: true }, (told) => {
      why = told;
    });
    expect(why).toBeNull();
  });
});

describe('a place that comes when the connection is another group’s', () => {
  it('goes back, and the connection counts for the group that has it', () => {
    const { keeper, answer } = scene({ connections: 1 });
    const seat = new Seats(10, () => null).sit('127.0.0.1');
    keeper.of('a').admit({ seat, request: true }, () => {});
    keeper.of('b').admit({ seat, request: true }, () => {});
    answer();
    expect(keeper.view('a').connections?.used).toBe(0);
    expect(keeper.view('b').connections?.used).toBe(1);
    seat?.leave();
    expect(keeper.view('b').connections?.used).toBe(0);
  });
});
