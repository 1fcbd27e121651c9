/**
 * Tells the operator's webhook of calls that wait for a person, and of what was decided: one message after the other, signed,
 * sent again when the receiver is out of reach, never more than the queue holds. Run by the process that has the admin side.
 */
import { createHmac } from 'node:crypto';
import type { DeskEvent } from '../base/approvals.ts';
import type { Clock } from '../base/clock.ts';
import { payloadOf, type Told } from './payload.ts';
import type { Post } from './post.ts';

/** Messages that wait to be sent. */
const MAX_QUEUED = 100;
/** The first wait before a message is sent again; each next one is twice as long. */
const FIRST_WAIT_MS = 1_000;
const MAX_TRIES = 6;
/** An agent that gives up and asks again is not told of twice so soon. */
const REPEAT_MS = 60_000;
const MAX_KNOWN = 1_000;

/** What became of a message. */
export type Outcome = 'sent' | 'failed' | 'dropped';

export type NotifierOptions = {
  readonly post: Post;
  readonly format: 'json' | 'slack';
  readonly secret: string;
  readonly clock: Clock;
  readonly onOutcome: (outcome: Outcome) => void;
  /** milliseconds; resolves early when `signal` aborts */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
};

export class Notifier {
  readonly #opts: NotifierOptions;
  readonly #queue: string[] = [];
  /** what was told lately: until when it is not told again, monotonic milliseconds */
  readonly #known = new Map<string, number>();
  readonly #stop = new AbortController();
  #sending: Promise<void> | null = null;

  constructor(opts: NotifierOptions) {
    this.#opts = opts;
  }

  /** Takes what is worth telling; never waits, never throws. */
  take(event: DeskEvent): void {
    if (event.kind === 'ended' || this.#stop.signal.aborted || this.#isRepeated(event)) return;
    const { clock, format, onOutcome } = this.#opts;
    if (this.#queue.length >= MAX_QUEUED) return onOutcome('dropped');
    this.#queue.push(payloadOf(event, format, new Date(clock.now()).toISOString()));
    return this.#start();
  }

  /** Gives up what was not sent. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#opts.post.close();
    await this.#sending;
  }

  #isRepeated({ kind, view }: Told): boolean {
    // Not by its body, which may not have come yet.
    if (kind === 'held') return this.#isTold(view.key, this.#opts.clock.mono());
    this.#known.delete(view.key);
    return false;
  }

  #isTold(key: string, now: number): boolean {
    const until = this.#known.get(key);
    if (until !== undefined && until > now) return true;
    this.#known.delete(key);
    this.#known.set(key, now + REPEAT_MS);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
    return false;
  }

  #start(): void {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = null;
      if (this.#queue.length > 0) this.#start();
    });
  }

  async #send(): Promise<void> {
    for (let body = this.#queue.shift(); body !== undefined; body = this.#queue.shift()) {
      this.#opts.onOutcome(await this.#deliver(body));
    }
  }

  async #deliver(body: string): Promise<Outcome> {
    const { post, pause } = this.#opts;
    for (let tries = 0; tries < MAX_TRIES && !this.#stop.signal.aborted; tries += 1) {
      if (tries > 0) await pause(FIRST_WAIT_MS * 2 ** (tries - 1), this.#stop.signal);
      if (this.#stop.signal.aborted) return 'dropped';
      const posted = await post(body, this.#headers(body));
      if (posted !== 'later') return posted === 'ok' ? 'sent' : 'failed';
    }
    return 'failed';
  }

  /** A signature of its own for each try: a receiver that refuses old ones takes this one. */
  #headers(body: string): Record<string, string> {
    const { secret, clock } = this.#opts;
    const timestamp = String(Math.floor(clock.now() / 1000));
    const signature = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
    return {
      'content-type': 'application/json',
      'user-agent': 'sallyport',
      'x-sallyport-timestamp': timestamp,
      'x-sallyport-signature': `v1=${signature}`,
    };
  }
}
