/** Shares of a cap: nobody's part can be taken by others, and every seat is given back once. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FairShare } from '../../../src/base/fair-share.ts';
import { type Seat, Seats } from '../../../src/base/seats.ts';

function fill(share: FairShare, party: string): number {
  let taken = 0;
  while (share.take(party)) taken += 1;
  return taken;
}

describe('a fair share', () => {
  test('gives one party that is alone everything', () => {
    expect(fill(new FairShare(100), 'a')).toBe(100);
  });

  test('keeps the part of each party, whatever all others take', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 12 }), fc.integer({ min: 24, max: 500 }), (parties, max) => {
        const share = new FairShare(max);
        share.divide(parties);
        for (let at = 1; at < parties; at += 1) fill(share, `flood ${at}`);
        expect(fill(share, 'late')).toBeGreaterThanOrEqual(Math.floor(max / 2 / parties));
      }),
    );
  });

  test('never gives more places than there are, and counts right through any takes, gives and divisions', () => {
    const step = fc.record({
      what: fc.constantFrom('take', 'give', 'divide'),
      who: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const share = new FairShare(20);
        const held = new Map<string, number>();
        for (const { what, who } of steps) {
          const party = `p${who}`;
          const before = held.get(party) ?? 0;
          if (what === 'divide') share.divide(who);
          else if (what === 'take' && share.take(party)) held.set(party, before + 1);
          else if (what === 'give' && before > 0) {
            share.give(party);
            held.set(party, before - 1);
          }
          for (const [name, count] of held) expect(share.takenBy(name)).toBe(count);
          expect([...held.values()].reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(20);
        }
        for (const [name, count] of held) for (let n = 0; n < count; n += 1) share.give(name);
        share.divide(1);
        expect(fill(share, 'all')).toBe(20);
      }),
    );
  });

  test('ignores a place given back that nobody held', () => {
    const share = new FairShare(2);
    share.give('a');
    expect(fill(share, 'a')).toBe(2);
  });
});

describe('seats', () => {
  const groups: Record<string, string> = { '10.0.0.1': 'a', '10.0.0.2': 'b' };
  const make = (max: number): Seats => {
    const seats = new Seats(max, (address) => groups[address] ?? null);
    seats.divide(2);
    return seats;
  };
  const sitAll = (seats: Seats, address: string): Seat[] => {
    const taken: Seat[] = [];
    for (let seat = seats.sit(address); seat !== null; seat = seats.sit(address)) taken.push(seat);
    return taken;
  };

  test('of silent connections count against the group of their address', () => {
    const seats = make(60);
    expect(sitAll(seats, '10.0.0.1')).toHaveLength(40);
    expect(seats.openOf('a')).toBe(40);
    expect(seats.sit('10.0.0.2')).not.toBeNull();
  });

  test('of an address without a group are few, so that another such address finds some', () => {
    const seats = make(64);
    expect(sitAll(seats, '192.0.2.1')).toHaveLength(4);
    expect(seats.sit('192.0.2.2')).not.toBeNull();
  });

  test('move to the group that a token names, and free the address', () => {
    const seats = make(64);
    const [first] = sitAll(seats, '192.0.2.1');
    expect(first?.take('b')).toBeNull();
    expect([first?.group, seats.openOf('b')]).toEqual(['b', 1]);
    expect(seats.sit('192.0.2.1')).not.toBeNull();
  });

  test('do not move to a group whose share is in use', () => {
    const seats = make(60);
    sitAll(seats, '10.0.0.1');
    const stranger = seats.sit('192.0.2.1');
    expect(stranger?.take('a')?.reason).toBe('overloaded');
    stranger?.leave();
  });

  test('are given back once, with what counts against the limit of the group', () => {
    const seats = make(60);
    const seat = seats.sit('10.0.0.1');
    let given = 0;
    seat?.take('a');
    seat?.count(() => {
      given += 1;
    });
    seat?.leave();
    seat?.leave();
    expect([given, seats.openOf('a')]).toEqual([1, 0]);
    // The answer of a slow store comes when the client has gone.
    seat?.count(() => {
      given += 1;
    });
    expect(given).toBe(2);
  });
});
