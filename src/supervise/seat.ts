/**
 * One worker's place: the process that sits there now, its questions and answers, and the next one when it dies. A
 * seat keeps its number and with it its audit chain, so the replacement goes on where the dead one stopped.
 */
import type { ChildProcess } from 'node:child_process';
import type { DeskEvent } from '../base/approvals.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Endpoint } from '../config/settings.ts';
import type { MetricsJson } from '../metrics/merge.ts';
import {
  type AboutOf,
  type Addresses,
  type Answers,
  type Asked,
  type Begin,
  type Counted,
  type FromWorker,
  isFromWorker,
  type Question,
  type ToWorker,
  type WorkerReport,
} from './messages.ts';
import { Questions } from './questions.ts';
import { watchForSilence } from './silence.ts';

export type SeatOptions = {
  readonly worker: number;
  readonly fork: () => ChildProcess;
  readonly begin: (worker: number) => Begin;
  readonly log: Log;
  readonly clock: Clock;
  /** a process took the seat and serves */
  readonly onReady: (seat: Seat) => void;
  readonly onCounted: (seat: Seat, message: Counted) => void;
  /** something happened to a call that waits for a person */
  readonly onDesk: (event: DeskEvent) => void;
  /** it had tokens made that the others must look for */
  readonly onMinted: (seat: Seat, message: Extract<FromWorker, { kind: 'minted' }>) => void;
  /** the process is gone, however it went */
  readonly onGone: (seat: Seat) => void;
  /** between two looks whether the process still answers, and how long it may take; milliseconds */
  readonly lookEveryMs?: number;
};

export type SeatState = 'starting' | 'ready' | 'waiting' | 'over';

/** From the fork to serving: reading policies and keys, verifying the end of the chain. */
const START_MS = 60_000;
/** Before the first replacement, which nobody notices; twice as long before each further one, up to the longest wait. */
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 30_000;
/** A worker that served for so long did not die of its start. */
const STEADY_MS = 60_000;

export class Seat {
  readonly worker: number;
  /** replacements so far */
  restarts = 0;
  state: SeatState = 'starting';
  /** what no sandbox may reach of the process that sits here */
  own: readonly Endpoint[] = [];
  /** counters of the process that sits here, as they were told last */
  lastMetrics: MetricsJson = [];
  readonly #opts: SeatOptions;
  readonly #questions = new Questions((asked) => this.#ask(asked));
  readonly #over = Promise.withResolvers<void>();
  #child: ChildProcess | null = null;
  #started = Promise.withResolvers<Addresses>();
  #stopping = false;
  #readyAt = 0;
  /** why the process could not serve, in its own words */
  #failed = '';
  #crashesInARow = 0;
  #next: NodeJS.Timeout | null = null;
  #stopWatching = (): void => {};

  constructor(opts: SeatOptions) {
    this.#opts = opts;
    this.worker = opts.worker;
    // Only the first start has somebody who waits for it.
    this.#started.promise.catch(() => {});
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Resolves when no process sits here and none will. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Forks the first process. Resolves with where it listens; rejects when it cannot serve, and then the seat is over. */
  async start(): Promise<Addresses> {
    this.#fork();
    try {
      return await this.#started.promise;
    } catch (error) {
      this.stop(true);
      throw error;
    }
  }

  report(): Promise<WorkerReport | null> {
    return this.ask('report', null);
  }

  /** null: it is not there, or did not answer in time. */
  ask<K extends Question>(what: K, about: AboutOf<K>, limitMs?: number): Promise<Answers[K] | null> {
    return this.#questions.ask(what, about, limitMs);
  }

  tell(message: ToWorker): void {
    // A process that is going hears nothing any more, and need not: its `exit` settles what waits for it.
    if (this.#child?.connected === true) this.#child.send(message, () => {});
  }

  /** No process is to sit here any more. `now`: what is open is cut. Safe to repeat. */
  stop(now: boolean): void {
    this.#stopping = true;
    if (this.#next !== null) clearTimeout(this.#next);
    this.#next = null;
    if (this.#child === null) this.#end();
    else this.tell({ kind: 'stop', now });
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  #ask(asked: Asked): void {
    if (this.state === 'ready') this.tell(asked);
    else this.#questions.fail();
  }

  #fork(): void {
    this.#next = null;
    this.#failed = '';
    this.state = 'starting';
    const child = this.#forked();
    if (child === null) return;
    this.#child = child;
    const limit = setTimeout(() => child.kill('SIGKILL'), START_MS);
    let gone = false;
    const leave = (how: string): void => {
      if (gone) return;
      gone = true;
      clearTimeout(limit);
      this.#gone(how);
    };
    child.on('message', (message: unknown) => {
      if (!isFromWorker(message)) return;
      if (message.kind === 'ready') clearTimeout(limit);
      this.#heard(message);
    });
    child.on('exit', (code, signal) => leave(signal ?? `status ${code ?? 'unknown'}`));
    // It could not be forked, or not be ended: the first is an end of its own.
    child.on('error', (error) => {
      if (child.pid === undefined) leave(error.message);
    });
    this.tell(this.#opts.begin(this.worker));
  }

  /** null: the system has no room for another process (ENOMEM is thrown); tried again like one that died. */
  #forked(): ChildProcess | null {
    try {
      return this.#opts.fork();
    } catch (error) {
      this.#gone(error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  #heard(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        this.state = 'ready';
        this.#readyAt = this.#opts.clock.mono();
        this.own = message.own;
        this.#watch();
        this.#started.resolve(message.at);
        return this.#opts.onReady(this);
      case 'failed':
        this.#failed = message.message;
        return this.#started.reject(Object.assign(new Error(message.message), { code: message.code }));
      case 'take':
      case 'spend':
      case 'hold':
      case 'release':
        return this.#opts.onCounted(this, message);
      case 'desk':
        return this.#opts.onDesk(message.event);
      case 'minted':
        return this.#opts.onMinted(this, message);
      case 'metrics':
        this.lastMetrics = message.value;
        return this.#questions.answer(message);
      case 'report':
      case 'flows':
      case 'reload':
      case 'lockdown':
      case 'approvals':
      case 'decide':
      case 'forget':
      case 'blocked':
      case 'cut':
      case 'explain':
        return this.#questions.answer(message);
    }
  }

  #watch(): void {
    const { lookEveryMs: everyMs, log } = this.#opts;
    this.#stopWatching();
    this.#stopWatching = watchForSilence({
      everyMs,
      ask: async (limitMs) => (await this.ask('report', null, limitMs)) !== null,
      onSilent: () => {
        log.error({ worker: this.worker, pid: this.pid }, 'a worker does not answer any more: it is killed');
        this.kill();
      },
    });
  }

  #gone(how: string): void {
    this.#stopWatching();
    const { log, clock, onGone } = this.#opts;
    const served = this.state === 'ready' ? clock.mono() - this.#readyAt : 0;
    this.#child = null;
    this.state = 'waiting';
    this.own = [];
    this.#questions.fail();
    this.#started.reject(new Error(`worker ${this.worker} ended (${how}) before it served`));
    onGone(this);
    this.lastMetrics = [];
    if (this.#stopping) return this.#end();
    this.#crashesInARow = served >= STEADY_MS ? 1 : this.#crashesInARow + 1;
    this.restarts += 1;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#crashesInARow - 1));
    log.error(
      {
        worker: this.worker,
        ended: this.#failed === '' ? how : this.#failed,
        crashes: this.#crashesInARow,
        wait_ms: wait,
      },
      'a worker ended; it is replaced',
    );
    this.#next = setTimeout(() => this.#fork(), wait);
  }

  #end(): void {
    this.state = 'over';
    this.#over.resolve();
  }
}
