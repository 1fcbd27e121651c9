/**
 * Live events over HTTP (server-sent events): the record as it grows, and the state of the proxy when it changes. A
 * listener that comes back with Last-Event-ID gets what it missed, or is told that it cannot; one that does not read
 * is dropped, and so is one whose token is revoked. Used by `routes/audit.ts`.
 */
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { FeedEntry, RecordFeed } from '../audit/feed.ts';
import type { ControlPlane } from '../base/control.ts';
import type { Operator } from '../base/operator.ts';
import type { Ask, Reply } from './route.ts';

export const MAX_LISTENERS = 32;
/** Behind by more than this, a listener is dropped. */
export const MAX_BEHIND_BYTES = 1024 * 1024;
/** Calls that wait for a person: the rest is in the list. */
const MAX_TOLD = 100;
const TICK_MS = 1_000;
const HEARTBEAT_TICKS = 15;

export type EventHub = {
  /** The answer to whoever wants to listen. */
  attach(ask: Pick<Ask, 'who' | 'lastEventId'>): Reply;
  close(): void;
};

type Listener = { readonly who: Operator; readonly to: ServerResponse };

/** `valid`: may this operator still listen. */
export function createEvents(opts: {
  readonly feed: RecordFeed;
  readonly control: Pick<ControlPlane, 'ready' | 'status' | 'lockdown' | 'approvals'>;
  readonly valid: (who: Operator) => boolean;
  readonly onError: (error: unknown) => void;
}): EventHub {
  return new Hub(opts);
}

class Hub implements EventHub {
  readonly #opts: Parameters<typeof createEvents>[0];
  readonly #listeners = new Set<Listener>();
  /** tells the numbers of this process from those of the one before */
  readonly #run = randomBytes(6).toString('base64url').replaceAll('-', '_');
  #timer: NodeJS.Timeout | null = null;
  #ticks = 0;
  #state = '';
  #unlisten = (): void => {};

  constructor(opts: Parameters<typeof createEvents>[0]) {
    this.#opts = opts;
  }

  attach({ who, lastEventId }: Pick<Ask, 'who' | 'lastEventId'>): Reply {
    if (this.#listeners.size >= MAX_LISTENERS) {
      const detail = `${MAX_LISTENERS} listen already.`;
      return {
        problem: { status: 503, code: 'too_many_listeners', detail },
        headers: { 'retry-after': '10' },
      };
    }
    if (this.#listeners.size === 0) this.#start();
    // All in one turn: nothing comes between what was missed and what comes.
    return {
      stream: (reply) => {
        for (const [name, value] of Object.entries(reply.getHeaders())) {
          if (value !== undefined) reply.raw.setHeader(name, value);
        }
        this.#begin({ who, to: reply.raw }, lastEventId);
      },
    };
  }

  close(): void {
    this.#stop();
    for (const { to } of this.#listeners) to.destroy();
    this.#listeners.clear();
  }

  #begin(listener: Listener, lastEventId: string | null): void {
    const { to } = listener;
    to.on('close', () => this.#leave(listener));
    to.on('error', () => this.#leave(listener));
    // Several may have been let in before the first of them was counted.
    if (this.#listeners.size >= MAX_LISTENERS) return void to.destroy();
    if (to.destroyed) return this.#leave(listener);
    to.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' });
    this.#listeners.add(listener);
    const missed = lastEventId === null ? [] : this.#missed(lastEventId);
    // The listener's own picture may have holes: it should ask anew for what it shows.
    if (missed === null) send(listener, 'event: reset\ndata: {}\n\n');
    send(
      listener,
      `id: ${this.#run}-${this.#opts.feed.newest - (missed?.length ?? 0)}\nevent: hello\ndata: {}\n\n`,
    );
    for (const entry of missed ?? []) send(listener, this.#textOf(entry));
    this.#state = '';
    void this.#lookAtState();
    return undefined;
  }

  #leave(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#stop();
  }

  #missed(lastEventId: string): readonly FeedEntry[] | null {
    const [, run, number] = /^(\w{8})-(\d{1,15})$/.exec(lastEventId) ?? [];
    return run === this.#run ? this.#opts.feed.since(Number(number)) : null;
  }

  #start(): void {
    this.#stop();
    this.#unlisten = this.#opts.feed.listen((entry) => this.#tellAll(this.#textOf(entry)));
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  #stop(): void {
    this.#unlisten();
    this.#unlisten = () => {};
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #tick(): void {
    this.#ticks += 1;
    for (const { who, to } of this.#listeners) if (!this.#opts.valid(who)) to.destroy();
    if (this.#ticks % HEARTBEAT_TICKS === 0) this.#tellAll(': still here\n\n');
    void this.#lookAtState();
  }

  async #lookAtState(): Promise<void> {
    try {
      const { control } = this.#opts;
      const [{ ready, why }, { policy }, { locks }, { approvals }] = await Promise.all([
        control.ready(),
        control.status(),
        control.lockdown(),
        control.approvals(),
      ]);
      const waiting = approvals.slice(0, MAX_TOLD).map(({ id }) => id);
      const state = JSON.stringify({ ready, why, policy, locks, approvals: waiting });
      if (state === this.#state) return;
      this.#state = state;
      this.#tellAll(`event: state\ndata: ${state}\n\n`);
    } catch (error) {
      this.#opts.onError(error);
    }
  }

  #tellAll(text: string): void {
    for (const listener of this.#listeners) send(listener, text);
  }

  #textOf({ number, kind, line }: FeedEntry): string {
    return `id: ${this.#run}-${number}\nevent: ${kind}\ndata: ${line}\n\n`;
  }
}

function send({ to }: Listener, text: string): void {
  if (to.destroyed) return;
  to.write(text);
  if (to.writableLength > MAX_BEHIND_BYTES) to.destroy();
}
