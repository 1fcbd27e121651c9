/**
 * Decisions of people from several machines as one: of two that cover the same the later one counts, of two at the
 * same time the no, and what was taken back anywhere is gone. The same in whatever order it is joined. Pure.
 */
import type { Kept, Ruling } from './rulings.ts';

/** What still says something. `now`: milliseconds since the epoch. */
export function isLive({ until, coolUntil }: Pick<Ruling, 'until' | 'coolUntil'>, now: number): boolean {
  return until > now || coolUntil > now;
}

/** Beyond the caps the later ones of `mine` and `theirs` together stay. */
export function joinKept(
  mine: Kept,
  theirs: Kept,
  {
    now,
    maxRulings,
    maxForgotten,
  }: { readonly now: number; readonly maxRulings: number; readonly maxForgotten: number },
): Kept {
  const forgotten = new Map(
    [...mine.forgotten, ...theirs.forgotten].filter(({ until }) => until > now).map((one) => [one.id, one]),
  );
  const byKey = new Map<string, Ruling>();
  for (const ruling of [...mine.rulings, ...theirs.rulings]) {
    if (forgotten.has(ruling.id) || !isLive(ruling, now)) continue;
    const known = byKey.get(ruling.key);
    if (known === undefined || isLater(ruling, known)) byKey.set(ruling.key, ruling);
  }
  const rulings = [...byKey.values()].sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1));
  const taken = [...forgotten.values()].sort((a, b) => a.until - b.until);
  return { rulings: rulings.slice(-maxRulings), forgotten: taken.slice(-maxForgotten) };
}

function isLater(one: Ruling, two: Ruling): boolean {
  if (one.at !== two.at) return one.at > two.at;
  if (one.decision !== two.decision) return one.decision === 'deny';
  return one.id > two.id;
}
