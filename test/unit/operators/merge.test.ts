/** Operators and decisions of several replicas as one: the same whatever the order, and never a step back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fileOf, joinOperators, type SharedOperators, sharedOf } from '../../../src/operators/merge.ts';
import type { StoredFactor, StoredOperator } from '../../../src/operators/schema.ts';
import type { Kept, Ruling } from '../../../src/state/rulings.ts';
import { joinKept } from '../../../src/state/rulings-merge.ts';

const iso = (ms: number): string => new Date(ms).toISOString();
const NAMES = ['ann', 'bob'] as const;

/** A token is made once: what is the same in it is the same everywhere. */
const operator = fc
  .record({
    name: fc.constantFrom(...NAMES),
    at: fc.integer({ min: 1, max: 3 }),
    twin: fc.boolean(),
    revoked: fc.boolean(),
    by: fc.constantFrom('x', 'y'),
  })
  .map(
    ({ name, at, twin, revoked, by }): StoredOperator => ({
      name,
      role: twin ? 'admin' : 'viewer',
      hash: `${at}${twin ? 'a' : 'b'}`.padEnd(64, '0'),
      created: iso(at * 1_000),
      by: 'w',
      revoked: revoked ? iso(at * 1_000 + 500) : null,
      ...(revoked ? { revokedBy: by } : {}),
    }),
  );
const factor = fc
  .record({
    name: fc.constantFrom(...NAMES, 'admin'),
    at: fc.integer({ min: 1, max: 3 }),
    used: fc.nat({ max: 5 }),
  })
  .map(
    ({ name, at, used }): StoredFactor => ({
      name,
      secret: 'A'.repeat(31) + at,
      used,
      enrolled: iso(at * 1_000 + 100),
    }),
  );
const people: fc.Arbitrary<SharedOperators> = fc
  .record({
    operators: fc.uniqueArray(operator, { selector: ({ name }) => name }),
    factors: fc.uniqueArray(factor, { selector: ({ name }) => name }),
  })
  .map((file) => sharedOf(file))
  // As a replica has them once it has looked at itself.
  .map((all) => joinOperators(new Map(), all));
const faceOf = (all: SharedOperators): unknown => [...all].sort(([a], [b]) => (a < b ? -1 : 1));

describe('operators of several replicas', () => {
  it('come out the same in whatever order and however often they are joined', () => {
    fc.assert(
      fc.property(people, people, people, (a, b, c) => {
        expect(faceOf(joinOperators(a, b))).toEqual(faceOf(joinOperators(b, a)));
        expect(faceOf(joinOperators(a, a))).toEqual(faceOf(a));
        const left = joinOperators(joinOperators(a, b), c);
        expect(faceOf(joinOperators(left, b))).toEqual(faceOf(left));
      }),
      { numRuns: 500 },
    );
  });

  it('who is revoked at one is let in at none, by no join', () => {
    fc.assert(
      fc.property(people, people, people, (a, b, c) => {
        const all = joinOperators(joinOperators(a, b), c);
        const dead = [a, b, c].flatMap((one) =>
          fileOf(one).operators.filter(({ revoked }) => revoked !== null),
        );
        for (const { operator: one, factor: second } of all.values()) {
          if (one === null) continue;
          expect(
            dead.some(({ hash, name }) => hash === one.hash && name === one.name) && one.revoked === null,
          ).toBe(false);
          expect(one.revoked !== null && second !== null).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });
});

const NOW = 1_000_000;
const CAPS = { now: NOW, maxRulings: 100, maxForgotten: 100 };
const ruling = fc
  .record({
    key: fc.constantFrom('a', 'b'),
    at: fc.integer({ min: 1, max: 4 }),
    deny: fc.boolean(),
    over: fc.boolean(),
  })
  .map(
    ({ key, at, deny, over }): Ruling => ({
      decision: deny ? 'deny' : 'allow',
      key: key.repeat(64),
      id: `${key}${at}${deny}${over}`,
      group: 'g',
      rule: 'r',
      what: 'w',
      by: 'ann',
      reason: null,
      verified: false,
      at,
      until: over ? NOW - 1 : NOW + at,
      coolUntil: 0,
    }),
  );
const kept: fc.Arbitrary<Kept> = fc
  .record({ rulings: fc.array(ruling, { maxLength: 4 }), taken: fc.array(ruling, { maxLength: 2 }) })
  .map(({ rulings, taken }) => ({ rulings, forgotten: taken.map(({ id }) => ({ id, until: NOW + 10 })) }));

describe('decisions of several replicas', () => {
  it('come out the same in whatever order; of two the later one counts, and what was taken back is gone', () => {
    fc.assert(
      fc.property(kept, kept, (a, b) => {
        const ab = joinKept(a, b, CAPS);
        const sorted = ({ rulings, forgotten }: Kept) => [
          rulings.map(({ id }) => id),
          forgotten.map(({ id }) => id).sort(),
        ];
        expect(sorted(ab)).toEqual(sorted(joinKept(b, a, CAPS)));
        expect(sorted(joinKept(ab, a, CAPS))).toEqual(sorted(ab));
        const gone = new Set([...a.forgotten, ...b.forgotten].map(({ id }) => id));
        for (const one of ab.rulings) {
          expect(gone.has(one.id) || one.until <= NOW).toBe(false);
          const rivals = [...a.rulings, ...b.rulings].filter(
            ({ key, id, until }) => key === one.key && !gone.has(id) && until > NOW,
          );
          expect(Math.max(...rivals.map(({ at }) => at))).toBe(one.at);
        }
      }),
      { numRuns: 500 },
    );
  });
});
