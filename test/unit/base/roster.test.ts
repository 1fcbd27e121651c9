import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Roster, UNLISTED } from '../../../src/base/roster.ts';

describe('a roster', () => {
  it('holds what a set would hold, whatever comes and goes in which order', () => {
    const steps = fc.array(fc.record({ comes: fc.boolean(), who: fc.nat(9) }), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (all) => {
        const people = Array.from({ length: 10 }, (_, name) => ({ name, place: UNLISTED }));
        const roster = new Roster<{ name: number; place: number }>();
        const expected = new Set<number>();
        for (const { comes, who } of all) {
          const one = people[who];
          if (one === undefined) continue;
          if (comes) {
            roster.add(one);
            expected.add(who);
          } else expect(roster.delete(one)).toBe(expected.delete(who));
        }
        expect(roster.size).toBe(expected.size);
        expect(new Set(roster.all().map(({ name }) => name))).toEqual(expected);
        expect(people.filter(({ place }) => place !== UNLISTED)).toHaveLength(expected.size);
      }),
    );
  });

  it('gives a list of its own: who leaves later is still in it', () => {
    const one = { place: UNLISTED };
    const roster = new Roster<{ place: number }>();
    roster.add(one);
    const seen = roster.all();
    roster.delete(one);
    expect(seen).toEqual([one]);
    expect(roster.all()).toEqual([]);
  });
});
