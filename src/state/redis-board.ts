/**
 * What replicas tell each other through Redis: signed entries in a few hashes, a mark that changes with each of them,
 * and a channel that says "look again". Whatever comes from there is held to its size and its signature.
 */
import { randomUUID } from 'node:crypto';
import type { RedisLine } from './redis-line.ts';
import { ADD, BEAT, RAISE, READ } from './redis-scripts.ts';
import { seal, unseal } from './seal.ts';

export type BoardOptions = {
  readonly line: Pick<RedisLine, 'run'>;
  readonly prefix: string;
  readonly key: Buffer;
};

/** name to value, as JSON gives it */
export type Entries = ReadonlyMap<string, unknown>;

const MAX_VALUE_BYTES = 2_048;
const ALIVE_MS = 10_000;
const MAX_REPLICAS = 256;

export class RedisBoard {
  readonly #opts: BoardOptions;

  constructor(opts: BoardOptions) {
    this.#opts = opts;
  }

  /** where news are told */
  get channel(): string {
    return this.#key('news');
  }

  /** All signed entries of a kind. `dropped`: how many were not ours. Rejects when there are more than `max`. */
  async read(kind: string, max: number): Promise<{ entries: Entries; dropped: number }> {
    const reply = await this.#opts.line.run(READ, [this.#key(kind)], [max, MAX_VALUE_BYTES]);
    const flat = textsOf(reply);
    const entries = new Map<string, unknown>();
    let dropped = 0;
    for (let at = 0; at + 1 < flat.length; at += 2) {
      const [name = '', value = ''] = flat.slice(at, at + 2);
      const found = unseal(this.#opts.key, `${kind} ${name}`, value.replace(/^\d+ /, ''));
      if (found === null) dropped += 1;
      else entries.set(name, found);
    }
    return { entries, dropped };
  }

  /** Writes entries that are not there yet. */
  async add(kind: string, entries: Entries): Promise<void> {
    const fields = [...entries].flatMap(([name, value]) => [name, this.#seal(kind, name, value)]);
    await this.#write(ADD, kind, fields);
  }

  /** Writes entries that rank above those that are there. */
  async raise(kind: string, entries: ReadonlyMap<string, { rank: number; value: unknown }>): Promise<void> {
    const fields = [...entries].flatMap(([name, { rank, value }]) => [
      name,
      rank,
      this.#seal(kind, name, value),
    ]);
    await this.#write(RAISE, kind, fields);
  }

  /** This replica is alive, and says `words`. `mark`: another one when entries changed; `said`: by all that are alive. */
  async beat(id: string, words: unknown): Promise<{ mark: string; said: readonly unknown[] }> {
    const keys = [this.#key('alive'), this.#key('replicas'), this.#key('mark')];
    const sealed = this.#seal('replicas', '', words);
    const reply = await this.#opts.line.run(BEAT, keys, [id, sealed, ALIVE_MS, MAX_REPLICAS]);
    const [mark = '', ...texts] = textsOf(reply);
    const said = texts.map((text) => unseal(this.#opts.key, 'replicas ', text));
    return { mark, said: said.filter((value) => value !== null) };
  }

  async #write(script: string, kind: string, fields: readonly (string | number)[]): Promise<void> {
    if (fields.length === 0) return;
    await this.#opts.line.run(
      script,
      [this.#key(kind), this.#key('mark')],
      [randomUUID(), this.channel, ...fields],
    );
  }

  #seal(kind: string, name: string, value: unknown): string {
    return seal(this.#opts.key, `${kind} ${name}`, value);
  }

  #key(kind: string): string {
    return `${this.#opts.prefix}:${kind}`;
  }
}

function textsOf(reply: unknown): readonly string[] {
  if (!Array.isArray(reply)) throw new Error('Redis answered something else');
  return reply.map(String);
}
