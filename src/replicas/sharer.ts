/**
 * One thing that replicas share. Its files in the state folder stay what the proxy goes by: a sharer brings what others
 * have done into them, and tells the others what was done here. Run by `replicas.ts`.
 */
import type { OperatorEvent } from '../audit/event.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { RedisBoard } from '../state/redis-board.ts';
import type { Seen } from '../state/shared-hash.ts';

export type Sharer = {
  /** of the hashes whose marks concern it */
  readonly kinds: readonly string[];
  /** Calls `onNews` after something changed here. Returns the stop. */
  watch(onNews: () => void): () => void;
  /** Both ways, once. Rejects where Redis or a file does not go along; it is tried again. */
  share(): Promise<void>;
};

/** What sharers work with. */
export type Common = {
  readonly board: RedisBoard;
  /** `state.dir` */
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
  /** this replica, for people */
  readonly name: string;
  /** something that people did elsewhere is in force here now */
  readonly onTaken: (taken: Taken) => void;
  /** entries that no replica wrote */
  readonly onDropped: (kind: string, entries: number) => void;
};

export type Taken = Pick<OperatorEvent, 'action' | 'group' | 'subject' | 'why'> & {
  /** null: they are not known */
  readonly by: string | null;
  readonly replica: string;
  /** ISO 8601: when they did it */
  readonly at: string;
};

/** What stands there, without the entries that are none of ours. */
export function readable<T>(seen: ReadonlyMap<string, Seen<T>>): ReadonlyMap<string, T> {
  return new Map([...seen].flatMap(([name, { value }]) => (value === null ? [] : [[name, value] as const])));
}
