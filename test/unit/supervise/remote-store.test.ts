/** The store that workers share: one limit over all of them, and a part of it where nobody answers. */
import { describe, expect, it, vi } from 'vitest';
import { MemoryStore } from '../../../src/state/memory.ts';
import type { Counted, ToWorker } from '../../../src/supervise/messages.ts';
import { RemoteStore } from '../../../src/supervise/remote-store.ts';
import { StoreHost } from '../../../src/supervise/store-host.ts';
import { movableClock } from '../../helpers/world.ts';

const MINUTE = { amount: 4, perMs: 60_000 };

/** Two workers on one host. `deaf`: it answers nothing until `hear` is called. */
function crew(opts: { deaf?: boolean } = {}) {
  const clock = movableClock();
  const host = new StoreHost(new MemoryStore(clock));
  const kept: (() => void)[] = [];
  const stores = [1, 2].map((worker) => {
    const store: RemoteStore = new RemoteStore({
      workers: 2,
      clock,
      tell: (message: Counted) => {
        const answer = (said: ToWorker): void => {
          if (said.kind === 'counted') store.answer(said.id, said.first, said.second);
        };
        const serve = (): void => host.serve(worker, message, answer);
        if (opts.deaf === true) kept.push(serve);
        else serve();
      },
    });
    return store;
  });
  const [one, two] = stores;
  if (one === undefined || two === undefined) throw new Error('no stores');
  const hear = (): void => {
    for (const serve of kept.splice(0)) serve();
  };
  return { host, one, two, hear };
}

const held = (store: RemoteStore, max = 3): boolean[] => {
  const answers: boolean[] = [];
  store.hold({ key: 'k', max }, (is) => answers.push(is));
  return answers;
};

describe('the store of workers', () => {
  it('counts rates, budgets and places for all of them', () => {
    const { one, two } = crew();
    const waits: number[] = [];
    for (const store of [one, two, one, two, one])
      store.take({ key: 'r', rate: MINUTE, amount: 1 }, (wait) => waits.push(wait));
    expect(waits.slice(0, 4)).toEqual([0, 0, 0, 0]);
    expect(waits[4]).toBeGreaterThan(0);
    const lefts: number[] = [];
    for (const store of [one, two])
      store.spend({ key: 'b', budget: { amount: 10, perMs: 60_000 }, amount: 7 }, (left) => lefts.push(left));
    expect(lefts).toEqual([3, -4]);
    expect([held(one, 2), held(two, 2), held(one, 2)]).toEqual([[true], [true], [false]]);
    two.release('k');
    expect(held(one, 2)).toEqual([true]);
  });

  it('gives back what a worker held that is gone, and nobody another’s place', () => {
    const { host, one, two } = crew();
    expect([held(one, 2), held(one, 2), held(two, 2)]).toEqual([[true], [true], [false]]);
    two.release('k');
    expect(held(two, 2)).toEqual([false]);
    host.gone(1);
    expect([held(two, 2), held(two, 2), held(two, 2)]).toEqual([[true], [true], [false]]);
  });

  it('without an answer in time lets each grant its part, once; a place that comes late goes back', () => {
    vi.useFakeTimers();
    try {
      const { one, two, hear } = crew({ deaf: true });
      const answers = [held(one), held(one), held(two)];
      expect(answers).toEqual([[], [], []]);
      vi.advanceTimersByTime(251);
      expect(answers).toEqual([[true], [false], [true]]);
      hear();
      expect(answers).toEqual([[true], [false], [true]]);
      // The releases of what came late.
      hear();
      one.release('k');
      two.release('k');
      const after = [held(one), held(two), held(one), held(two)];
      hear();
      expect(after).toEqual([[true], [true], [true], [false]]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('a place that comes late goes back however many come late', () => {
    vi.useFakeTimers();
    try {
      const { one, two, hear } = crew({ deaf: true });
      const many = (count: number): void => {
        for (let n = 0; n < count; n += 1) held(one, 100_000);
      };
      many(20_000);
      vi.advanceTimersByTime(251);
      many(10);
      vi.advanceTimersByTime(251);
      hear();
      // The releases of what came late.
      hear();
      const free = held(two, 1);
      hear();
      expect(free).toEqual([true]);
    } finally {
      vi.useRealTimers();
    }
  });
});
