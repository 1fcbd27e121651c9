/**
 * What replicas tell each other through Redis: who is alive and what they say of themselves, hashes of entries with a
 * mark that changes with each of them, a channel that says "look again", and one for each replica with words for it alone.
 */
import type { RedisLine } from './redis-line.ts';
import { BEAT, CLAIM, LEAVE, SAY } from './redis-scripts.ts';
import { markOf, seal, unseal } from './seal.ts';
import { type HashKind, listOf, SharedHash, textsOf } from './shared-hash.ts';

export type BoardOptions = {
  readonly line: Pick<RedisLine, 'run'>;
  readonly prefix: string;
  readonly key: Buffer;
};

/** A replica that has said nothing for so long is gone. */
const ALIVE_MS = 10_000;
const MAX_REPLICAS = 256;
const MAX_SAID_BYTES = 4_096;

export class RedisBoard {
  readonly #opts: BoardOptions;
  readonly #kinds: string[] = [];

  constructor(opts: BoardOptions) {
    this.#opts = opts;
  }

  /** where news are told */
  get channel(): string {
    return this.#key('news');
  }

  /** where a replica hears what is meant for it alone */
  channelOf(id: string): string {
    return this.#key(`to:${id}`);
  }

  hash<T>(kind: HashKind<T>): SharedHash<T> {
    const { line, key } = this.#opts;
    this.#kinds.push(kind.name);
    const at = { hash: this.#key(kind.name), marks: this.#key('marks'), channel: this.channel };
    return new SharedHash({ kind, line, key, at });
  }

  /**
   * This replica is alive, and says `words`. `marks`: of each kind of hash, another one when its entries changed; `said`:
   * by all that are alive, by their ids.
   */
  async beat(
    id: string,
    words: unknown,
  ): Promise<{ marks: ReadonlyMap<string, string>; said: ReadonlyMap<string, unknown> }> {
    const keys = [this.#key('alive'), this.#key('replicas'), this.#key('marks')];
    const sealed = this.#seal(`replica ${id}`, words);
    const args = [id, sealed, ALIVE_MS, MAX_REPLICAS, MAX_SAID_BYTES, ...this.#kinds];
    const reply = await this.#opts.line.run(BEAT, keys, args);
    const [first, ...rest] = listOf(reply);
    const marks = textsOf(first);
    const texts = textsOf(rest);
    const said = new Map<string, unknown>();
    for (let at = 0; at + 1 < texts.length; at += 2) {
      const [of = '', text = ''] = texts.slice(at, at + 2);
      const value = unseal(this.#opts.key, `replica ${of}`, text);
      if (value !== null) said.set(of, value);
    }
    return { marks: new Map(this.#kinds.map((kind, at) => [kind, marks[at] ?? ''])), said };
  }

  /** This replica goes: the others need not wait until it is missed. */
  async leave(id: string): Promise<void> {
    await this.#opts.line.run(LEAVE, [this.#key('alive'), this.#key('replicas')], [id]);
  }

  /** Says something to one replica. False: nobody listens there. */
  async say(id: string, words: unknown): Promise<boolean> {
    const channel = this.channelOf(id);
    const heard = await this.#opts.line.run(SAY, [], [channel, this.#seal(`to ${id}`, words)]);
    return Number(heard) > 0;
  }

  /**
   * Takes what can be had once, by whatever replica asks first. `forMs`: how long it stays taken. Rejects when Redis does
   * not answer. Nobody else can tell what a mark stands for, or take it ahead.
   */
  async claim(what: string, forMs: number): Promise<boolean> {
    const mark = this.#key(`once:${markOf(this.#opts.key, what)}`);
    return Number(await this.#opts.line.run(CLAIM, [mark], [forMs])) === 1;
  }

  /** What was said to this replica; null: by nobody who has the key. */
  heard(id: string, sealed: string): unknown {
    return unseal(this.#opts.key, `to ${id}`, sealed);
  }

  #seal(kind: string, value: unknown): string {
    return seal(this.#opts.key, kind, value);
  }

  #key(kind: string): string {
    return `${this.#opts.prefix}:${kind}`;
  }
}
