/**
 * The entries of the desk: each found by what it holds, and by the id under which people saw it. An id stands for what was
 * shown; when that changes the entry gets another one, and who answers to an old one is told what became of it.
 */
import type { Decided, Decision, Held } from '../base/approvals.ts';
import { askerOf, Entry, type Over, type Waiter } from './approval-entry.ts';

/** Entries of one group: more than a person can judge. */
const MAX_ENTRIES_OF_GROUP = 100;
/** Of them, those of one token, or of one address without a token: a flood cannot bury what others ask. */
const MAX_ENTRIES_OF_ASKER = 20;
/** Entries that are over and whose end is still known, to tell late answers. */
const MAX_OVER = 1_000;

export class Entries {
  readonly #newId: () => string;
  readonly #byKey = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();
  readonly #over = new OverEntries();

  constructor(newId: () => string) {
    this.#newId = newId;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Oldest first. */
  all(): Iterable<Entry> {
    return this.#byKey.values();
  }

  /** What waits for the same decision. */
  of(key: string): Entry | undefined {
    return this.#byKey.get(key);
  }

  /** What a decision is about: what was shown under its id, or what is like that in another process. */
  decidedBy({ id, like }: Decision): Entry | undefined {
    return like === undefined ? this.#byId.get(id) : this.#byKey.get(like.key);
  }

  /** What is told to a decision about an id that stands for nothing any more. */
  late(id: string): Decided {
    const over = this.#over.get(id);
    return over === undefined ? { kind: 'unknown' } : { kind: 'over', ...over };
  }

  /** May there be one more, for this request. */
  hasRoom({ held }: Waiter): boolean {
    return hasRoom(this.#byKey.values(), held);
  }

  /** `coolUntil`: milliseconds since the epoch. */
  open(first: Waiter, coolUntil: number): Entry {
    const entry = new Entry(this.#newId(), first, coolUntil);
    this.#byKey.set(entry.key, entry);
    this.#byId.set(entry.id, entry);
    return entry;
  }

  /** Its id is answered with `over` from now on. */
  end(entry: Entry, over: Over): void {
    this.#over.add(entry.id, over);
  }

  /** What a person saw under the old id is not what is shown now. */
  rename(entry: Entry, over: Over): void {
    this.#byId.delete(entry.id);
    this.end(entry, over);
    entry.id = this.#newId();
    this.#byId.set(entry.id, entry);
  }

  /** Nobody waits in it any more. */
  close(entry: Entry, over: Over): void {
    this.#byKey.delete(entry.key);
    this.#byId.delete(entry.id);
    this.end(entry, over);
  }
}

/** May there be an entry for it beside `entries`. */
function hasRoom(entries: Iterable<Entry>, held: Held): boolean {
  const { group } = held.identity;
  const asker = askerOf(held);
  let ofGroup = 0;
  let ofAsker = 0;
  for (const entry of entries) {
    if (entry.group !== group) continue;
    ofGroup += 1;
    if (entry.asker === asker) ofAsker += 1;
  }
  return ofGroup < MAX_ENTRIES_OF_GROUP && ofAsker < MAX_ENTRIES_OF_ASKER;
}

/** The last entries that are over, by their ids. */
class OverEntries {
  readonly #byId = new Map<string, Over>();

  get(id: string): Over | undefined {
    return this.#byId.get(id);
  }

  /** The first end counts. */
  add(id: string, over: Over): void {
    if (this.#byId.has(id)) return;
    this.#byId.set(id, over);
    const [oldest] = this.#byId.keys();
    if (this.#byId.size > MAX_OVER && oldest !== undefined) this.#byId.delete(oldest);
  }
}
