/**
 * Composition of what several replicas share through Redis. The files of the state folder stay what the proxy goes by:
 * this brings what others have done into them, within a second, and tells the others what was done here. While Redis
 * is away everything goes on with what is known. One per machine: the supervising process, where there are workers.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { OperatorEvent } from '../audit/event.ts';
import type { Clock } from '../base/clock.ts';
import type { ReplicasView } from '../base/control.ts';
import type { Log } from '../base/log.ts';
import { Paced } from '../base/paced.ts';
import type { ClaimCode } from '../operators/code-check.ts';
import { hasShared } from '../state/lockdown-shared.ts';
import { RedisBoard } from '../state/redis-board.ts';
import { NOT_THERE, RedisLine, type RedisPlace } from '../state/redis-line.ts';
import { RedisStore } from '../state/redis-store.ts';
import type { StateStore } from '../state/store.ts';
import type { ApprovalSeat } from '../supervise/approvals.ts';
import { type Approvals, Calls } from './calls.ts';
import { codeClaimer } from './codes.ts';
import { DueSharers } from './due-sharers.ts';
import { lockdownSharer } from './lockdown.ts';
import { operatorSharer } from './operators.ts';
import { rulingSharer } from './rulings.ts';
import type { Common, Sharer } from './sharer.ts';
import { TakenRecord } from './taken.ts';
import { tokenSharer } from './tokens.ts';
import { Troubles } from './troubles.ts';
import { parseSaid, viewOf, type Words, wordsOf } from './words.ts';

export { hasShared };

export type ReplicasOptions = {
  readonly place: RedisPlace;
  /** that all replicas have: 32 bytes */
  readonly key: Buffer;
  /** `state.dir` */
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** this replica, for people; default: the machine's name */
  readonly name?: string;
  readonly prefix?: string;
  /** how long a request waits for Redis, milliseconds */
  readonly answerMs?: number;
  /** how often it is looked at without news, milliseconds */
  readonly lookEveryMs?: number;
};

export type Replicas = {
  readonly store: StateStore;
  readonly claimCode: ClaimCode;
  /** resolves with the next look that was answered; false: none was within `limitMs` */
  settled(limitMs: number): Promise<boolean>;
  view(): ReplicasView;
  /** Lets other replicas look at what waits for a person here, and decide it. */
  serve(approvals: Approvals): void;
  /** The others, where they can be asked now. */
  peers(): readonly ApprovalSeat[];
  /** Says from now on which policies are in force here: `policies` is asked at each look. */
  tellPolicies(policies: () => readonly string[] | Promise<readonly string[]>): void;
  /** `record` gets what people did elsewhere when it comes to be in force here, also what came before this call. */
  onTaken(record: (event: OperatorEvent) => void): void;
  close(): Promise<void>;
};

const ANSWER_MS = 100;
const LOOK_ANSWER_MS = 2_000;
/** Messages get lost: this often it is looked at without one. */
const LOOK_EVERY_MS = 1_000;
/** Whoever may write there cannot make us look more often. */
const LOOK_AGAIN_MS = 100;
const LEAVE_MS = 500;
/** Workers have to be asked. */
const POLICIES_EVERY_MS = 500;

export function openReplicas(opts: ReplicasOptions): Replicas {
  return new OpenReplicas(opts);
}

class OpenReplicas implements Replicas {
  readonly store: RedisStore;
  readonly claimCode: ClaimCode;
  readonly #opts: ReplicasOptions;
  readonly #lines: readonly RedisLine[];
  readonly #board: RedisBoard;
  readonly #calls: Calls;
  readonly #due: DueSharers;
  readonly #looks = new Paced(() => this.#look(), LOOK_AGAIN_MS);
  readonly #stops: (() => void)[] = [];
  readonly #id = randomUUID();
  readonly #about: Omit<Words, 'policies'>;
  #waiting: (() => void)[] = [];
  #said: ReadonlyMap<string, Words> = new Map();
  #connected = false;
  /** milliseconds since the epoch */
  #sharedAt: number | null = null;
  #policies: Words['policies'] = null;
  #askPolicies: (() => Promise<void>) | null = null;
  #closed = false;
  readonly #troubles: Troubles;
  readonly #taken: TakenRecord;

  constructor(opts: ReplicasOptions) {
    this.#opts = opts;
    this.#troubles = new Troubles(opts.log);
    this.#taken = new TakenRecord(opts.clock);
    const { dir, clock, key, log, place, version, name = hostname(), prefix = 'sallyport' } = opts;
    this.#about = { name, version, since: new Date(clock.now()).toISOString() };
    const onProblem = (why: string): void => {
      if (!this.#closed) this.#troubles.tell(why);
    };
    const line = (answerMs: number, onReady: () => void): RedisLine =>
      new RedisLine({ place, clock, answerMs, onReady, onProblem });
    const counts = line(opts.answerMs ?? ANSWER_MS, () => this.store.refresh());
    const looks = line(LOOK_ANSWER_MS, () => this.#lookAtAll());
    const hears: RedisLine = line(LOOK_ANSWER_MS, () => {
      // What was told while nobody listened is not told again: so all is looked at.
      const mine = this.#board.channelOf(this.#id);
      const heard = hears.listen([this.#board.channel, mine], (channel, message) =>
        channel === mine ? this.#calls.heard(message) : this.#looks.ask(),
      );
      heard.then(
        () => this.#lookAtAll(),
        (error: Error) => this.#troubles.tell(error.message),
      );
    });
    this.#lines = [counts, looks, hears];
    this.#board = new RedisBoard({ line: looks, prefix, key });
    this.claimCode = codeClaimer(this.#board);
    const id = this.#id;
    this.#calls = new Calls(this.#board, id);
    this.store = new RedisStore({ line: counts, clock, prefix, id, replicas: () => this.#said.size });
    const onTaken: Common['onTaken'] = (taken) => this.#taken.take(taken);
    const onDropped = (kind: string, entries: number): void => this.#troubles.dropped(kind, entries);
    const common: Common = { board: this.#board, dir, clock, log, name, onTaken, onDropped };
    const lockdown = lockdownSharer(common);
    // A lock first: it is what cannot wait.
    const sharers = [lockdown, tokenSharer(common), operatorSharer(common), rulingSharer(common)];
    this.#due = new DueSharers(sharers, clock);
    const timer = setInterval(() => {
      this.store.refresh();
      this.#looks.ask();
    }, opts.lookEveryMs ?? LOOK_EVERY_MS);
    timer.unref();
    this.#stops.push(
      () => clearInterval(timer),
      ...sharers.map((sharer) => sharer.watch(() => this.#lookAt(sharer))),
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
    this.#lookAtAll();
    return promise;
  }

  serve(approvals: Approvals): void {
    this.#calls.serve(approvals);
  }

  peers(): readonly ApprovalSeat[] {
    const others = this.#connected ? [...this.#said.keys()].filter((id) => id !== this.#id) : [];
    return others.map((id) => this.#calls.seat(id));
  }

  view(): ReplicasView {
    return viewOf({ said: this.#said, self: this.#id, connected: this.#connected, sharedAt: this.#sharedAt });
  }

  tellPolicies(policies: () => readonly string[] | Promise<readonly string[]>): void {
    let asking = false;
    let askedAt = Number.NEGATIVE_INFINITY;
    this.#askPolicies = async () => {
      const now = this.#opts.clock.mono();
      if (asking || now - askedAt < POLICIES_EVERY_MS) return;
      asking = true;
      askedAt = now;
      try {
        const told = await policies();
        const changed = told.join() !== this.#policies?.join();
        this.#policies = told;
        if (changed) this.#looks.ask();
      } catch {
        // Who does not answer now is asked again with the next look.
      } finally {
        asking = false;
      }
    };
    void this.#askPolicies();
  }

  onTaken(record: (event: OperatorEvent) => void): void {
    this.#taken.into(record);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#looks.close();
    for (const stop of this.#stops) stop();
    // The others need not wait until this one is missed; a Redis that hangs does not keep it.
    const late = new Promise((resolve) => setTimeout(resolve, LEAVE_MS).unref());
    await Promise.race([this.#board.leave(this.#id).catch(() => {}), late]);
    for (const line of this.#lines) line.close();
  }

  #lookAt(sharer: Sharer): void {
    this.#due.add(sharer);
    this.#looks.ask();
  }

  #lookAtAll(): void {
    this.#due.addAll();
    this.#looks.ask();
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const waiting = [...this.#waiting];
    void this.#askPolicies?.();
    const troubles = await this.#share();
    if (this.#closed) return;
    this.#connected = troubles.length === 0;
    for (const trouble of troubles) if (trouble !== NOT_THERE) this.#troubles.tell(trouble);
    if (troubles.length > 0) return;
    this.#troubles.over();
    this.#sharedAt = this.#opts.clock.now();
    this.#waiting = this.#waiting.filter((one) => !waiting.includes(one));
    for (const told of waiting) told();
  }

  /** What went wrong, in words; empty: everything is shared. */
  async #share(): Promise<string[]> {
    try {
      const { marks, said } = await this.#board.beat(this.#id, wordsOf(this.#about, this.#policies));
      this.#said = parseSaid(said);
      this.#due.compare(marks);
    } catch (error) {
      return [textOf(error)];
    }
    return (await this.#due.run(() => this.#closed)).map(textOf);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
