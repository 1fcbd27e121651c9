/** Earlier decisions that hold for a while, of all replicas: a yes at one covers the same at all, and so does taking it back. */
import { join } from 'node:path';
import { followFiles } from '../base/watch-file.ts';
import type { Forgotten, Ruling } from '../state/rulings.ts';
import { MAX_FORGOTTEN, MAX_RULINGS, RULINGS_FILE, RulingsFile } from '../state/rulings-file.ts';
import { parseForgotten, parseRuling } from '../state/rulings-schema.ts';
import type { HashKind } from '../state/shared-hash.ts';
import { type Common, readable, type Sharer } from './sharer.ts';

const RULINGS: HashKind<Ruling> = {
  name: 'rulings',
  maxEntries: 2 * MAX_RULINGS,
  maxBytes: 32_768,
  parse: (value, name) => {
    const ruling = parseRuling(value);
    return ruling?.key === name ? ruling : null;
  },
};

const FORGOTTEN: HashKind<Forgotten> = {
  name: 'forgotten',
  maxEntries: 2 * MAX_FORGOTTEN,
  maxBytes: 4_096,
  parse: (value, name) => {
    const one = parseForgotten(value);
    return one?.id === name ? one : null;
  },
};

export function rulingSharer({ board, dir, clock, log, onDropped }: Common): Sharer {
  const rulings = board.hash(RULINGS);
  const forgotten = board.hash(FORGOTTEN);
  const file = new RulingsFile({ dir, clock, onProblem: (problem) => log.error(problem) });
  return {
    kinds: [RULINGS.name, FORGOTTEN.name],
    watch: (onNews) => followFiles([join(dir, RULINGS_FILE)], onNews),
    share: async () => {
      // What was taken back first: a yes that is read without it would hold for a moment.
      const gone = readable(await forgotten.read());
      const there = readable(await rulings.read());
      onDropped(FORGOTTEN.name, forgotten.dropped);
      onDropped(RULINGS.name, rulings.dropped);
      const all = file.merge({ rulings: [...there.values()], forgotten: [...gone.values()] });
      if (all instanceof Error) throw all;
      const now = clock.now();
      const ids = new Set(all.forgotten.map(({ id }) => id));
      const mine = new Map(all.rulings.map((ruling) => [ruling.key, ruling]));
      await forgotten.write([
        ...all.forgotten.filter(({ id }) => !gone.has(id)).map((one) => ({ name: one.id, value: one })),
        ...[...gone.values()]
          .filter(({ until }) => until <= now)
          .map(({ id: name }) => ({ name, value: null })),
      ]);
      await rulings.write([
        ...all.rulings
          .filter(({ key, id }) => there.get(key)?.id !== id)
          .map((ruling) => ({ name: ruling.key, value: ruling })),
        ...[...there.values()]
          .filter(
            ({ key, id, until, coolUntil }) =>
              !mine.has(key) && (ids.has(id) || Math.max(until, coolUntil) <= now),
          )
          .map(({ key: name }) => ({ name, value: null })),
      ]);
    },
  };
}
