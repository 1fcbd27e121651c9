/**
 * One kind of entry that replicas share: a hash in Redis whose values only they can write. Whatever else stands there
 * is held to its size, opened, parsed once, and does not count. Nobody overwrites what it has not seen. Made by `redis-board.ts`.
 */
import { randomUUID } from 'node:crypto';
import type { RedisLine } from './redis-line.ts';
import { READ, WRITE } from './redis-scripts.ts';
import { seal, unseal } from './seal.ts';

export type HashKind<T> = {
  readonly name: string;
  /** more are not ours: nothing is read then */
  readonly maxEntries: number;
  /** of one value, as it stands in Redis */
  readonly maxBytes: number;
  /** null: it is none of these */
  readonly parse: (value: unknown, name: string) => T | null;
};

/** `raw`: as it stands there; `value` null: no replica wrote that. */
export type Seen<T> = { readonly raw: string; readonly value: T | null };

/** `value` null: it is to go. */
export type Change<T> = { readonly name: string; readonly value: T | null };

export type HashOptions<T> = {
  readonly kind: HashKind<T>;
  readonly line: Pick<RedisLine, 'run'>;
  readonly key: Buffer;
  /** of the hash, of the marks, and the channel for news */
  readonly at: { readonly hash: string; readonly marks: string; readonly channel: string };
};

/** Of all values of a kind. */
const MAX_HASH_BYTES = 16 * 1024 * 1024;
/** In one step, which keeps Redis from everything else meanwhile. */
const MAX_CHANGES = 500;
const NOTHING = '';
const TOO_LONG = '*';

export class SharedHash<T> {
  readonly #opts: HashOptions<T>;
  #seen: ReadonlyMap<string, Seen<T>> = new Map();

  constructor(opts: HashOptions<T>) {
    this.#opts = opts;
  }

  /** Reads all. Rejects when Redis does not answer, or holds more than there can be. */
  async read(): Promise<ReadonlyMap<string, Seen<T>>> {
    const { kind, line, at } = this.#opts;
    const reply = await line.run(READ, [at.hash], [kind.maxEntries, kind.maxBytes, MAX_HASH_BYTES]);
    const flat = textsOf(reply);
    const seen = new Map<string, Seen<T>>();
    for (let index = 0; index + 1 < flat.length; index += 2) {
      const [name = '', raw = ''] = flat.slice(index, index + 2);
      const known = this.#seen.get(name);
      seen.set(name, known?.raw === raw ? known : { raw, value: this.#open(name, raw) });
    }
    this.#seen = seen;
    return seen;
  }

  /** Entries, as they were read last, that no replica wrote. */
  get dropped(): number {
    return [...this.#seen.values()].filter(({ value }) => value === null).length;
  }

  /** Writes over what was read last; what has changed meanwhile stays, and its news bring the next look. */
  async write(changes: readonly Change<T>[]): Promise<void> {
    const { kind, line, key, at } = this.#opts;
    for (let from = 0; from < changes.length; from += MAX_CHANGES) {
      const fields = changes
        .slice(from, from + MAX_CHANGES)
        .flatMap(({ name, value }) => [
          name,
          this.#seen.get(name)?.raw ?? NOTHING,
          value === null ? NOTHING : seal(key, `${kind.name} ${name}`, value),
        ]);
      await line.run(
        WRITE,
        [at.hash, at.marks],
        [kind.name, randomUUID(), at.channel, kind.maxBytes, ...fields],
      );
    }
  }

  #open(name: string, raw: string): T | null {
    if (raw === TOO_LONG) return null;
    const { kind, key } = this.#opts;
    const value = unseal(key, `${kind.name} ${name}`, raw);
    return value === null ? null : kind.parse(value, name);
  }
}

/** An answer that is a list. Throws for any other. */
export function listOf(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw new Error('Redis answered something else');
  return reply;
}

/** The same as text. */
export function textsOf(reply: unknown): readonly string[] {
  return listOf(reply).map(String);
}
