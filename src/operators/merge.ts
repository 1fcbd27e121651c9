/**
 * The operators of this machine and those of the others as one. What is joined, in whatever order and however often, comes out
 * the same: of two operators with one name the later one counts, who is revoked anywhere is revoked, and a second
 * factor's codes are used up to the last one used anywhere. Pure. Used by `replicas/operators.ts`.
 */
import { MAX_OPERATORS, type OperatorsFile, type StoredFactor, type StoredOperator } from './schema.ts';

/** All that replicas tell each other of a name; `operator` is null for the built-in admin. */
export type SharedOperator = {
  readonly operator: StoredOperator | null;
  readonly factor: StoredFactor | null;
};

/** By name. */
export type SharedOperators = ReadonlyMap<string, SharedOperator>;

export function sharedOf({ operators, factors }: OperatorsFile): SharedOperators {
  const names = new Set([...operators, ...factors].map(({ name }) => name));
  return new Map(
    [...names].map((name) => [
      name,
      {
        operator: operators.find((one) => one.name === name) ?? null,
        factor: factors.find((one) => one.name === name) ?? null,
      },
    ]),
  );
}

/** Beyond the cap nobody is added. */
export function joinOperators(mine: SharedOperators, theirs: SharedOperators): SharedOperators {
  const all = new Map(mine);
  for (const [name, one] of theirs) {
    const known = all.get(name);
    if (known !== undefined) all.set(name, joinOne(known, one));
    else if (all.size < MAX_OPERATORS) all.set(name, joinOne(one, one));
  }
  return all;
}

export function fileOf(all: SharedOperators): OperatorsFile {
  return {
    operators: [...all.values()].flatMap(({ operator }) => operator ?? []),
    factors: [...all.values()].flatMap(({ factor }) => factor ?? []),
  };
}

export function isSame(one: SharedOperator | undefined, two: SharedOperator | undefined): boolean {
  return one !== undefined && two !== undefined && faceOf(one) === faceOf(two);
}

function joinOne(one: SharedOperator, two: SharedOperator): SharedOperator {
  const operator = joinOperator(one.operator, two.operator);
  // A second factor belongs to the token that it was enrolled with, not to whoever had or gets the name.
  const [first = null, second = null] = [one, two]
    .filter((side) => side.operator?.hash === operator?.hash)
    .map(({ factor }) => factor);
  const factor = joinFactor(first, second);
  return { operator, factor: factor === null || isVoid(factor, operator) ? null : factor };
}

function joinOperator(one: StoredOperator | null, two: StoredOperator | null): StoredOperator | null {
  if (one === null || two === null) return one ?? two;
  if (one.hash === two.hash) {
    // A token is made once: what only one of them says is true of both.
    return { ...two, ...one, ...endOf([one, two]) };
  }
  // The name was given again, which needs a revocation first: the older one is over.
  return later(one, two);
}

/** Of two revocations the first counts. */
function endOf(both: readonly StoredOperator[]): Pick<StoredOperator, 'revoked' | 'revokedBy'> {
  const ends = both.flatMap(({ revoked, revokedBy }) =>
    revoked === null ? [] : [{ revoked, ...(revokedBy === undefined ? {} : { revokedBy }) }],
  );
  const [first] = ends.sort((a, b) => order(a.revoked, b.revoked) || order(a.revokedBy, b.revokedBy));
  return first ?? { revoked: null };
}

function order(one = '', two = ''): number {
  return one < two ? -1 : Number(one > two);
}

function later<T extends { readonly created: string; readonly hash: string }>(one: T, two: T): T {
  const [a, b] = [Date.parse(one.created), Date.parse(two.created)];
  if (a !== b) return a > b ? one : two;
  return one.hash >= two.hash ? one : two;
}

function joinFactor(one: StoredFactor | null, two: StoredFactor | null): StoredFactor | null {
  if (one === null || two === null) return one ?? two;
  if (one.secret === two.secret) return { ...two, ...one, used: Math.max(one.used, two.used) };
  const [a, b] = [enrolledAt(one), enrolledAt(two)];
  if (a !== b) return a > b ? one : two;
  return one.secret > two.secret ? one : two;
}

/** Of somebody who is revoked, or who is none. */
function isVoid({ name }: StoredFactor, operator: StoredOperator | null): boolean {
  return operator === null ? name !== 'admin' : operator.revoked !== null;
}

function enrolledAt({ enrolled }: StoredFactor): number {
  return enrolled === undefined ? 0 : Date.parse(enrolled);
}

function faceOf({ operator, factor }: SharedOperator): string {
  return JSON.stringify([
    operator === null ? null : [operator.role, operator.hash, operator.created, operator.revoked],
    factor === null ? null : [factor.secret, factor.used, factor.enrolled ?? null],
  ]);
}
