/**
 * Several processes as one proxy: forks the workers, has dead ones replaced, asks and tells all of them. It serves no
 * sandbox itself: what listens to attackers can crash without taking the admin side along. Run by
 * `cli/start-workers.ts`.
 */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import type { DeskEvent } from '../base/approvals.ts';
import type { Clock } from '../base/clock.ts';
import type { ReloadResult } from '../base/control.ts';
import type { Log } from '../base/log.ts';
import { loadPolicies } from '../config/load.ts';
import type { Endpoint, Settings } from '../config/settings.ts';
import { growing, type MetricsJson, mergeMetrics, summed } from '../metrics/merge.ts';
import type { Lock } from '../state/lockdown.ts';
import { MemoryStore } from '../state/memory.ts';
import type { StateStore } from '../state/store.ts';
import type { Addresses, Begin, ToWorker } from './messages.ts';
import { probePort } from './probe-port.ts';
import { Seat } from './seat.ts';
import { StoreHost } from './store-host.ts';

export type SupervisorOptions = {
  readonly settings: Settings;
  readonly workers: number;
  readonly version: string;
  /** what the workers are told of the environment */
  readonly env: Begin['env'];
  readonly log: Log;
  readonly clock: Clock;
  /** what limits count in; default: this process alone */
  readonly store?: StateStore;
  /** starts one process that serves as a worker */
  readonly fork: () => ChildProcess;
  /** something happened to a call that waits for a person, in one of the workers */
  readonly onDesk: (event: DeskEvent) => void;
  /** locks that stand in no file */
  readonly locks: () => readonly Lock[];
};

export type Supervisor = {
  readonly address: Endpoint;
  readonly seats: readonly Seat[];
  readonly stopping: () => boolean;
  /** `own`: listeners of the supervising process itself, which no sandbox may reach through a worker */
  setOwn(own: readonly Endpoint[]): void;
  /** The policy folder is valid and in force everywhere, or what is wrong with it. One at a time. */
  reload(): Promise<ReloadResult>;
  /** all workers' metrics as one, also those of workers that are gone; `own`: of this process */
  metrics(own: MetricsJson): Promise<string>;
  /** drains all workers; resolves when they are gone. Safe to repeat. */
  stop(): Promise<void>;
  /** cuts what is open */
  stopNow(): void;
};

/** Beyond the drain: writing the last records, closing. */
const GRACE_MS = 5_000;
/** A file that changes between two workers' reads is read again. */
const RELOAD_TRIES = 5;

/** Rejects when the first workers cannot serve; nothing is left running then. */
export async function startSupervisor(opts: SupervisorOptions): Promise<Supervisor> {
  const { proxy, transparent } = opts.settings;
  for (const at of [proxy.listen, transparent.tls, transparent.http, transparent.dns]) {
    if (at !== null) await probePort(at);
  }
  const crew = new Crew(opts);
  try {
    await crew.start();
  } catch (error) {
    crew.stopNow();
    await crew.stop();
    throw error;
  }
  return crew;
}

class Crew implements Supervisor {
  readonly seats: readonly Seat[];
  readonly #opts: SupervisorOptions;
  readonly #store: StoreHost;
  #at: Addresses;
  #ownOfOurs: readonly Endpoint[] = [];
  #stopping: Promise<void> | null = null;
  #reloading: Promise<unknown> = Promise.resolve();
  /** what workers that are gone have counted */
  readonly #retired: MetricsJson[] = [];
  #compacting: Promise<void> = Promise.resolve();

  constructor(opts: SupervisorOptions) {
    this.#opts = opts;
    this.#store = new StoreHost(opts.store ?? new MemoryStore(opts.clock));
    const { proxy, transparent } = opts.settings;
    this.#at = { proxy: proxy.listen, transparent };
    const seat = (worker: number): Seat =>
      new Seat({
        ...opts,
        worker,
        begin: () => ({
          kind: 'begin',
          worker,
          workers: opts.workers,
          settings: this.#settings(),
          version: opts.version,
          env: opts.env,
          locks: opts.locks(),
          own: this.#own(),
        }),
        onReady: (from) => {
          this.#shareOwn();
          this.#tellOthers(from, { kind: 'tell-minted' });
        },
        onMinted: (from, message) => this.#tellOthers(from, message),
        onDesk: opts.onDesk,
        onCounted: (from, message) => this.#store.serve(from.worker, message, (answer) => from.tell(answer)),
        onGone: (from) => {
          this.#store.gone(from.worker);
          this.#retire(from.lastMetrics);
        },
      });
    this.seats = Array.from({ length: opts.workers }, (_, index) => seat(index + 1));
  }

  get address(): Endpoint {
    return this.#at.proxy;
  }

  /** The first worker finds out whether it goes at all, and which port it is; the others follow together. */
  async start(): Promise<void> {
    const [first, ...others] = this.seats;
    if (first === undefined) throw new Error('no workers');
    this.#at = await first.start();
    await Promise.all(others.map((seat) => seat.start()));
  }

  setOwn(own: readonly Endpoint[]): void {
    this.#ownOfOurs = own;
    this.#shareOwn();
  }

  readonly stopping = (): boolean => this.#stopping !== null;

  reload(): Promise<ReloadResult> {
    const run = this.#reloading.then(() => this.#reload());
    this.#reloading = run;
    return run;
  }

  async #reload(): Promise<ReloadResult> {
    for (let tries = 1; ; tries += 1) {
      // Looked at here first: what is not valid reaches no worker.
      const loaded = loadPolicies(this.#opts.settings.policies);
      if (!loaded.ok) return { ok: false, problems: loaded.problems };
      const { hash } = loaded.set;
      const seats = this.seats.filter(({ state }) => state === 'ready');
      const results = await Promise.all(seats.map((seat) => seat.ask('reload', null)));
      const refused = results.find((result) => result?.ok === false);
      if (results.every((result) => result?.ok === true && result.policy === hash))
        return { ok: true, policy: hash };
      if (tries < RELOAD_TRIES) continue;
      return refused ?? { ok: false, problems: [NOT_EVERYWHERE] };
    }
  }

  async metrics(own: MetricsJson): Promise<string> {
    const retired = [...this.#retired];
    const told = this.seats.map(async (seat) => {
      // Without an answer what was told last counts: a counter must not fall.
      const last = seat.lastMetrics;
      return (await seat.ask('metrics', null)) ?? last;
    });
    return mergeMetrics([...(await Promise.all(told)), ...retired, own]);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  stopNow(): void {
    for (const seat of this.seats) seat.stop(true);
  }

  async #stop(): Promise<void> {
    for (const seat of this.seats) seat.stop(false);
    const over = Promise.all(this.seats.map((seat) => seat.over));
    const late = new AbortController();
    const limit = pause(this.#opts.settings.proxy.drainMs + GRACE_MS, undefined, {
      signal: late.signal,
    }).then(
      () => {
        this.#opts.log.error('workers did not end in time: they are killed');
        for (const seat of this.seats) seat.kill();
      },
      () => {}, // all ended before
    );
    await over;
    late.abort();
    await limit;
  }

  #settings(): Settings {
    const { settings } = this.#opts;
    const { proxy, transparent } = this.#at;
    return {
      ...settings,
      proxy: { ...settings.proxy, listen: proxy },
      transparent: { ...settings.transparent, ...transparent },
      // Told by this process alone; who serves sandboxes need not hold it.
      notify: { ...settings.notify, url: null },
      state: { ...settings.state, redis: null },
    };
  }

  #own(): Endpoint[] {
    return [...this.#ownOfOurs, ...this.seats.flatMap(({ own }) => own)];
  }

  #tellOthers(from: Seat, message: ToWorker): void {
    for (const seat of this.seats) if (seat !== from) seat.tell(message);
  }

  #shareOwn(): void {
    const own = this.#own();
    for (const seat of this.seats) seat.tell({ kind: 'own', own });
  }

  #retire(counted: MetricsJson): void {
    if (counted.length === 0) return;
    this.#retired.push(growing(counted));
    this.#compacting = this.#compacting.then(async () => {
      const { length } = this.#retired;
      if (length > 1) this.#retired.splice(0, length, await summed(this.#retired.slice(0, length)));
    });
  }
}

const NOT_EVERYWHERE = {
  file: '',
  line: 0,
  column: 0,
  message: 'not every worker has the new policy',
  fix: 'GET /api/v1/status shows which; reload again when it is ready',
} as const;
