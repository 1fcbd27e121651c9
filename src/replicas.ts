/**
 * Composition of what several replicas share through Redis. The files of the state folder stay what the proxy goes by:
 * this brings what others have done into them, within a second, and tells the others what was done here. While Redis
 * is away everything goes on with what is known. One per machine: the supervising process, where there are workers.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from './base/clock.ts';
import type { Log } from './base/log.ts';
import { watchFiles } from './base/watch-file.ts';
import type { StoredToken } from './identify/schema.ts';
import { MAX_SHARED_TOKENS, mergeTokens, parseToken } from './identify/token-merge.ts';
import { openLockdown } from './state/lockdown-file.ts';
import { hasShared, rankOf, SharedLockdown } from './state/lockdown-shared.ts';
import { MAX_SHARED, parseSharedLock } from './state/lockdown-shared-schema.ts';
import { RedisBoard } from './state/redis-board.ts';
import { RedisLine, type RedisPlace } from './state/redis-line.ts';
import { RedisStore } from './state/redis-store.ts';
import type { StateStore } from './state/store.ts';

export { hasShared };

export type ReplicasOptions = {
  readonly place: RedisPlace;
  /** that all replicas have */
  readonly key: Buffer;
  /** `state.dir` */
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly prefix?: string;
  /** how long a request waits for Redis, milliseconds */
  readonly answerMs?: number;
};

export type Replicas = {
  readonly store: StateStore;
  /** resolves with the next look that was answered; false: none was within `limitMs` */
  settled(limitMs: number): Promise<boolean>;
  /** how many were alive at the last look */
  count(): number;
  close(): void;
};

const ANSWER_MS = 100;
const LOOK_ANSWER_MS = 2_000;
/** Messages get lost: this often it is looked at without one. */
const LOOK_EVERY_MS = 1_000;
/** Read as a whole this often, whatever the mark says: who may write there may leave it alone. */
const READ_EVERY_MS = 15_000;
/** Whoever may write there cannot make us look more often. */
const LOOK_AGAIN_MS = 100;
/** Different words for one trouble that are told. */
const MAX_TOLD = 16;

export function openReplicas(opts: ReplicasOptions): Replicas {
  return new OpenReplicas(opts);
}

class OpenReplicas implements Replicas {
  readonly store: RedisStore;
  readonly #opts: ReplicasOptions;
  readonly #lines: readonly RedisLine[];
  readonly #board: RedisBoard;
  readonly #lockdown: SharedLockdown;
  readonly #stops: (() => void)[] = [];
  readonly #id = randomUUID();
  #waiting: (() => void)[] = [];
  #replicas = 1;
  #looking = false;
  #again = false;
  /** something changed here, or someone said so */
  #news = true;
  #mark = '';
  /** monotonic milliseconds */
  #readAt = 0;
  #closed = false;
  /** what was told since it last went well */
  readonly #told = new Set<string>();
  #timer: NodeJS.Timeout | null = null;

  constructor(opts: ReplicasOptions) {
    this.#opts = opts;
    const { dir, clock, key, place, prefix = 'sallyport' } = opts;
    const lockdown = openLockdown({ dir, clock, watch: true });
    this.#lockdown = new SharedLockdown({ store: lockdown, dir });
    const line = (answerMs: number, onReady: () => void): RedisLine =>
      new RedisLine({ place, clock, answerMs, onReady, onProblem: (why) => this.#tell(why) });
    const look = (): void => {
      this.#news = true;
      this.#look();
    };
    const counts = line(opts.answerMs ?? ANSWER_MS, () => this.store.refresh());
    const looks = line(LOOK_ANSWER_MS, look);
    const hears: RedisLine = line(LOOK_ANSWER_MS, () => {
      hears.listen(this.#board.channel, look).then(look, (error: Error) => this.#tell(error.message));
    });
    this.#lines = [counts, looks, hears];
    this.#board = new RedisBoard({ line: looks, prefix, key });
    this.store = new RedisStore({
      line: counts,
      clock,
      prefix,
      id: this.#id,
      replicas: () => this.#replicas,
    });
    const files = watchFiles(look);
    files.add(join(dir, 'tokens.json'));
    const timer = setInterval(() => {
      this.store.refresh();
      this.#look();
    }, LOOK_EVERY_MS);
    timer.unref();
    this.#stops.push(
      () => clearInterval(timer),
      () => files.stop(),
      lockdown.subscribe(look),
      () => lockdown.close(),
    );
  }

  settled(limitMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const limit = setTimeout(() => resolve(false), limitMs);
    this.#waiting.push(() => {
      clearTimeout(limit);
      resolve(true);
    });
    this.#news = true;
    this.#look();
    return promise;
  }

  count(): number {
    return this.#replicas;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const stop of this.#stops) stop();
    for (const line of this.#lines) line.close();
  }

  /** Looks now, or as soon as the look that is under way has ended. */
  #look(): void {
    if (this.#closed) return;
    this.#again = true;
    if (this.#looking || this.#timer !== null) return;
    this.#looking = true;
    this.#again = false;
    void this.#lookOnce().finally(() => {
      this.#looking = false;
      if (this.#closed) return;
      this.#timer = setTimeout(() => {
        this.#timer = null;
        if (this.#again) this.#look();
      }, LOOK_AGAIN_MS).unref();
    });
  }

  /** Never rejects. */
  async #lookOnce(): Promise<void> {
    const waiting = [...this.#waiting];
    try {
      const { mark, said } = await this.#board.beat(this.#id, { id: this.#id });
      this.#replicas = Math.max(1, said.length);
      const due = this.#opts.clock.mono() - this.#readAt >= READ_EVERY_MS;
      if (this.#news || due || mark !== this.#mark) {
        this.#news = false;
        // A lock first: it is what cannot wait.
        await this.#shareLockdown();
        await this.#shareTokens();
        this.#mark = mark;
        this.#readAt = this.#opts.clock.mono();
      }
    } catch (error) {
      this.#news = true;
      return this.#tell(error instanceof Error ? error.message : String(error));
    }
    if (this.#told.size > 0) this.#opts.log.info('replicas: shared again');
    this.#told.clear();
    this.#waiting = this.#waiting.filter((one) => !waiting.includes(one));
    for (const told of waiting) told();
    return undefined;
  }

  async #shareLockdown(): Promise<void> {
    const { entries, dropped } = await this.#board.read('lockdown', MAX_SHARED);
    const theirs = [...entries].flatMap(([group, value]) => {
      const lock = parseSharedLock(value);
      return lock?.group === group ? [lock] : [];
    });
    this.#tellDropped(dropped + entries.size - theirs.length);
    for (const { group, on, by, reason } of await this.#lockdown.adopt(theirs)) {
      this.#opts.log.warn(
        { group, by, reason },
        on ? 'locked at another replica' : 'unlocked at another replica',
      );
    }
    const there = new Map(theirs.map((lock) => [lock.group, rankOf(lock)]));
    const mine = this.#lockdown.entries().filter((lock) => rankOf(lock) > (there.get(lock.group) ?? -1));
    await this.#board.raise(
      'lockdown',
      new Map(mine.map((lock) => [lock.group, { rank: rankOf(lock), value: lock }])),
    );
  }

  async #shareTokens(): Promise<void> {
    // Revocations first: a token that is read without its own would be good for a moment.
    const revoked = await this.#board.read('revoked', MAX_SHARED_TOKENS);
    const issued = await this.#board.read('tokens', MAX_SHARED_TOKENS);
    const times = new Map(
      [...revoked.entries].flatMap(([id, at]) => (isInstant(at) ? [[id, at] as const] : [])),
    );
    const tokens = [...issued.entries].flatMap(([id, value]) => {
      const token = parseToken(value);
      return token?.id === id ? [token] : [];
    });
    this.#tellDropped(revoked.dropped + issued.dropped);
    const all = mergeTokens(this.#opts.dir, { tokens, revoked: times });
    if (all === null) return;
    const dead = all.flatMap(({ id, revoked: at }) =>
      at === null || times.has(id) ? [] : [[id, at] as const],
    );
    await this.#board.add('revoked', new Map(dead));
    const there = new Set(tokens.map(({ id }) => id));
    await this.#board.add(
      'tokens',
      new Map(all.filter(({ id }) => !there.has(id)).map((token) => [token.id, sharedFace(token)])),
    );
  }

  #tellDropped(dropped: number): void {
    if (dropped === 0) return;
    this.#opts.log.error({ entries: dropped }, 'replicas: entries that no replica signed are in Redis');
  }

  /** Once for each new trouble. */
  #tell(why: string): void {
    if (this.#closed || this.#told.has(why) || this.#told.size >= MAX_TOLD) return;
    this.#told.add(why);
    this.#opts.log.error({ why }, 'replicas: nothing is shared; going on with what is known here');
  }
}

/** As the token file has them: one that it cannot read would make all tokens invalid. */
function isInstant(at: unknown): at is string {
  return typeof at === 'string' && !Number.isNaN(Date.parse(at)) && new Date(at).toISOString() === at;
}

/** Times of use are each machine's own. */
function sharedFace(token: StoredToken): StoredToken {
  return { ...token, lastUsed: null, revoked: null };
}
