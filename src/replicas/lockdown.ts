/** Locks and their ends, of all replicas: the merging is `state/lockdown-shared.ts`, this carries it to Redis and back. */
import { openLockdown } from '../state/lockdown-file.ts';
import { rankOf, SharedLockdown } from '../state/lockdown-shared.ts';
import { MAX_SHARED, parseSharedLock, type SharedLock } from '../state/lockdown-shared-schema.ts';
import type { HashKind } from '../state/shared-hash.ts';
import type { Common, Sharer } from './sharer.ts';

const KIND: HashKind<SharedLock> = {
  name: 'lockdown',
  maxEntries: MAX_SHARED,
  maxBytes: 8_192,
  parse: (value, name) => {
    const lock = parseSharedLock(value);
    return lock?.group === name ? lock : null;
  },
};

/** Throws when what was agreed on last cannot be read. `close` ends what it has open. */
export function lockdownSharer(common: Common): Sharer & { close(): void } {
  const { board, dir, clock, log, name, onTaken, onDropped } = common;
  const store = openLockdown({ dir, clock, watch: true });
  const lockdown = new SharedLockdown({ store, dir, replica: name });
  const hash = board.hash(KIND);
  return {
    kinds: [KIND.name],
    watch: (onNews) => store.subscribe(onNews),
    close: () => store.close(),
    share: async () => {
      const seen = await hash.read();
      onDropped(KIND.name, hash.dropped);
      const theirs = [...seen.values()].flatMap(({ value }) => value ?? []);
      for (const lock of await lockdown.adopt(theirs)) {
        const { group, on, by, reason, since: at, replica } = lock;
        log.warn(
          { group, by, reason, replica },
          on ? 'locked at another replica' : 'unlocked at another replica',
        );
        const action = on ? 'lockdown.on' : 'lockdown.off';
        onTaken({ action, group, subject: null, why: reason, by, replica, at });
      }
      const there = new Map(theirs.map((lock) => [lock.group, rankOf(lock)]));
      const mine = lockdown.entries().filter((lock) => rankOf(lock) > (there.get(lock.group) ?? -1));
      await hash.write(mine.map((lock) => ({ name: lock.group, value: lock })));
    },
  };
}
