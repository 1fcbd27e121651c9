/**
 * One connection to Redis, which may be away at any time. A script is answered in time or the call fails; after a
 * failure nothing is asked for a second, so that a Redis which hangs costs a few requests its time limit and not all
 * of them. Nothing is queued while it is away, and nothing is sent twice. Made by `replicas.ts`.
 */
import { Redis } from 'ioredis';
import type { Clock } from '../base/clock.ts';

/** Where it is, from the URL of the settings. */
export type RedisPlace = {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** certificates that may vouch for it; null: no TLS */
  readonly ca: readonly string[] | null;
};

export type LineOptions = {
  readonly place: RedisPlace;
  readonly clock: Clock;
  /** how long an answer may take, milliseconds */
  readonly answerMs: number;
  /** it is there (again) */
  readonly onReady: () => void;
  /** told why it is not there, at every attempt */
  readonly onProblem: (why: string) => void;
};

/** After a failure nothing is asked for this long. */
const PAUSE_MS = 1_000;
const CONNECT_MS = 2_000;
/** A connection that is silent for so long while it owes an answer is made anew. */
const SILENT_MS = 5_000;
const LONGEST_WAIT_MS = 1_000;
/** So many answers may be owed; more means that it has stopped answering. */
const MAX_OWED = 20_000;

export class RedisLine {
  readonly #opts: LineOptions;
  readonly #client: Redis;
  /** monotonic milliseconds */
  #pausedUntil = 0;
  #owed = 0;

  constructor(opts: LineOptions) {
    this.#opts = opts;
    this.#client = new Redis(optionsOf(opts));
    this.#client.on('error', (error: Error) => opts.onProblem(error.message));
    this.#client.on('ready', () => {
      this.#pausedUntil = 0;
      opts.onReady();
    });
    // Told by the event as well; a connection that fails is tried again by itself.
    this.#client.connect().catch(() => {});
  }

  /** May it be asked now? */
  open(): boolean {
    if (this.#client.status !== 'ready' || this.#owed >= MAX_OWED) return false;
    return this.#opts.clock.mono() >= this.#pausedUntil;
  }

  /** Runs a script where it is. Rejects when it is not there, refuses, or has not answered in time. */
  async run(script: string, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    if (!this.open()) throw new Error('Redis is not there');
    this.#owed += 1;
    try {
      return await this.#client.eval(script, keys.length, ...keys, ...args);
    } catch (error) {
      this.#pausedUntil = this.#opts.clock.mono() + PAUSE_MS;
      throw error;
    } finally {
      this.#owed -= 1;
    }
  }

  /** `fn` is called for every message, whoever sent it; a line that listens runs no scripts. */
  async listen(channels: readonly string[], fn: (channel: string, message: string) => void): Promise<void> {
    this.#client.removeAllListeners('message');
    this.#client.on('message', fn);
    await this.#client.subscribe(...channels);
  }

  close(): void {
    this.#client.disconnect();
  }
}

function optionsOf({ place, answerMs }: LineOptions) {
  const { ca, username, password, ...at } = place;
  return {
    ...at,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(ca === null ? {} : { tls: { ca: [...ca] } }),
    commandTimeout: answerMs,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENT_MS,
    lazyConnect: true,
    // Whoever waits is answered from here at once, and what was not answered is not sent again: it may have been done.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 1,
    // Needs a command that an account for this alone would not have.
    enableReadyCheck: false,
    disableClientInfo: true,
    // Behind the same address another one may take writes by now.
    reconnectOnError: (error: Error) => error.message.includes('READONLY'),
    autoResubscribe: false,
    retryStrategy: (times: number) => Math.min(LONGEST_WAIT_MS, 50 * 2 ** Math.min(times, 10)),
  };
}
