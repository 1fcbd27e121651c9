/**
 * One connection to Redis, which may be away at any time. A script is answered in time or the call fails; after a
 * failure nothing is asked for a second, so that a Redis which hangs costs a few requests its time limit and not all
 * of them. Nothing is queued while it is away, and nothing is sent twice. Made by `replicas.ts`.
 */
import net from 'node:net';
import tls from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { OwedAnswers } from './owed-answers.ts';
import { commandText, RedisRefusal, type Reply, RespReader } from './resp.ts';

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

/** What calls fail with while there is no connection: `onProblem` has told why there is none. */
export const NOT_THERE = 'Redis is not there';
/** When it did not answer in time, nothing is asked for this long. */
const PAUSE_MS = 1_000;
/** From the first packet to a server that has let us in. */
const CONNECT_MS = 2_000;
/** A connection that owes an answer for so long is made anew. */
const SILENT_MS = 5_000;
/** Whether one that only listens is still there is asked this often. */
const PING_MS = 3_000;
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 1_000;

export class RedisLine {
  readonly #opts: LineOptions;
  #socket: net.Socket | null = null;
  #ready = false;
  #closed = false;
  /** made once: it takes the loop some milliseconds */
  #trust: tls.SecureContext | null = null;
  /** attempts in a row that failed */
  #failed = 0;
  #again: NodeJS.Timeout | null = null;
  /** monotonic milliseconds */
  #pausedUntil = 0;
  readonly #owed: OwedAnswers;
  #onMessage: ((channel: string, message: string) => void) | null = null;

  constructor(opts: LineOptions) {
    this.#opts = opts;
    this.#owed = new OwedAnswers(opts.clock, () => this.#lookAtSilence(this.#socket));
    this.#connect();
  }

  /** May it be asked now? */
  open(): boolean {
    if (!this.#ready || this.#owed.full) return false;
    return this.#opts.clock.mono() >= this.#pausedUntil;
  }

  /** Runs a script where it is. Rejects when it is not there, refuses, or has not answered in time. */
  async run(script: string, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    if (!this.open()) throw new Error(NOT_THERE);
    try {
      return await this.#command(['EVAL', script, keys.length, ...keys, ...args]);
    } catch (error) {
      // What it refuses it refuses at once: nobody waited for that.
      if (!(error instanceof RedisRefusal)) this.#pausedUntil = this.#opts.clock.mono() + PAUSE_MS;
      // Behind the same address another one may take writes by now.
      else if (error.message.includes('READONLY')) this.#socket?.destroy();
      throw error;
    }
  }

  /** `fn` is called for every message, whoever sent it; a line that listens runs no scripts until it is made anew. */
  async listen(channels: readonly string[], fn: (channel: string, message: string) => void): Promise<void> {
    if (!this.open()) throw new Error(NOT_THERE);
    // Each channel is answered by itself, in the form of a message: the first one stands for all.
    const answered = this.#command(['SUBSCRIBE', ...channels]);
    this.#onMessage = fn;
    await answered;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again ?? undefined);
    this.#socket?.destroy();
  }

  #connect(): void {
    if (this.#closed) return;
    let socket: net.Socket;
    try {
      socket = this.#dial();
    } catch (error) {
      // An address or a certificate that Node does not take: in the log, at every attempt, and not the end of the process.
      return this.#lost(wordsOf(error));
    }
    this.#socket = socket;
    this.#onMessage = null;
    const reader = new RespReader();
    let why = 'Redis closed the connection';
    const limit = setTimeout(() => {
      why = 'Redis does not let us in in time';
      socket.destroy();
    }, CONNECT_MS);
    const ping = setInterval(() => this.#ping(socket), PING_MS).unref();
    socket.setNoDelay(true);
    socket.on('error', (error) => {
      why = wordsOf(error);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const reply of reader.feed(chunk)) this.#take(reply);
      } catch (error) {
        why = wordsOf(error);
        socket.destroy();
      }
    });
    socket.on('close', () => {
      clearTimeout(limit);
      clearInterval(ping);
      this.#lost(why);
    });
    socket.once(this.#opts.place.ca === null ? 'connect' : 'secureConnect', () => {
      this.#enter().then(
        () => clearTimeout(limit),
        (error: unknown) => {
          why = wordsOf(error);
          socket.destroy();
        },
      );
    });
  }

  #dial(): net.Socket {
    const { host, port, ca } = this.#opts.place;
    if (ca === null) return net.connect({ host, port });
    this.#trust ??= tls.createSecureContext({ ca: [...ca] });
    const named = net.isIP(host) === 0 ? { servername: host } : {};
    return tls.connect({ host, port, secureContext: this.#trust, ...named });
  }

  async #enter(): Promise<void> {
    const { username, password, db } = this.#opts.place;
    const user = username === undefined ? [] : [username];
    if (password !== undefined) await this.#command(['AUTH', ...user, password], CONNECT_MS);
    await this.#command(['SELECT', db], CONNECT_MS);
    this.#ready = true;
    this.#failed = 0;
    this.#pausedUntil = 0;
    this.#opts.onReady();
  }

  #lost(why: string): void {
    this.#ready = false;
    this.#socket = null;
    this.#owed.fail();
    if (this.#closed) return;
    this.#opts.onProblem(why);
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(this.#failed, 10));
    this.#failed += 1;
    this.#again = setTimeout(() => this.#connect(), wait).unref();
  }

  /** Rejects with what Redis said against it, or when nothing was said in time. */
  #command(words: readonly (string | number)[], limitMs: number = this.#opts.answerMs): Promise<Reply> {
    const socket = this.#socket;
    if (socket === null) return Promise.reject(new Error(NOT_THERE));
    const answer = this.#owed.next(limitMs);
    socket.write(commandText(words));
    return answer;
  }

  #take(reply: Reply): void {
    if (this.#onMessage !== null && isList(reply)) {
      const [kind, channel, message] = reply;
      if (kind === 'message' && typeof channel === 'string' && typeof message === 'string')
        return this.#onMessage(channel, message);
      // Further channels of the one SUBSCRIBE.
      if (kind === 'subscribe' && this.#owed.none) return undefined;
    }
    return this.#owed.take(reply);
  }

  /** A peer that is gone without a word is noticed by its silence alone. */
  #ping(socket: net.Socket): void {
    if (this.#onMessage === null || this.#socket !== socket) return this.#lookAtSilence(socket);
    if (this.#owed.none) this.#command(['PING'], SILENT_MS).catch(() => {});
    return this.#lookAtSilence(socket);
  }

  #lookAtSilence(socket: net.Socket | null): void {
    if (this.#owed.oldestMs >= SILENT_MS) socket?.destroy();
  }
}

function isList(reply: Reply): reply is readonly Reply[] {
  return Array.isArray(reply);
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // What was tried at several addresses says nothing by itself.
  return error.message || ('code' in error ? String(error.code) : error.name);
}
