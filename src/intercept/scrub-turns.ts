/**
 * What an upstream says in a WebSocket, a turn at a time: a few bytes of compressed messages may become very many, and
 * one read holds hundreds of messages. What a turn leaves of a read waits until others were served and the client took
 * what it was sent; the upstream is not read meanwhile. Used by `upgrade-relay.ts`.
 */
import type { Piece, Rotation } from '../base/rotation.ts';
import type { MessageScrubber } from './message-scrubber.ts';
import type { Sink } from './output.ts';

export type TurnsAsk = {
  readonly scrubber: MessageScrubber;
  readonly client: Sink;
  readonly upstream: { pause(): void; resume(): void };
  readonly rotation: Rotation;
  /** whose work it is */
  readonly party: string;
  /** all that came before the upstream's end was passed on */
  readonly ended: () => void;
  /** what a turn threw */
  readonly thrown: (error: unknown) => void;
};

const EMPTY: Buffer = Buffer.alloc(0);

export class ScrubTurns implements Piece {
  readonly #ask: TurnsAsk;
  /** one read as a rule, since no more is asked for meanwhile */
  #waiting = EMPTY;
  #scheduled = false;
  #blocked = false;
  #paused = false;
  #over = false;
  /** the upstream has ended, and something of it waits */
  ending = false;

  constructor(ask: TurnsAsk) {
    this.#ask = ask;
  }

  feed(bytes: Buffer): void {
    if (!this.#isBehind) return this.#go(bytes);
    this.#waiting = Buffer.concat([this.#waiting, bytes]);
  }

  /** The upstream says nothing more. False: `ended` will be told. */
  end(): boolean {
    this.ending = this.#isBehind;
    return !this.ending;
  }

  /** The client takes more again. False: the upstream is still to wait. */
  drained(): boolean {
    this.#blocked = false;
    if (!this.#isBehind) {
      this.#paused = false;
      return true;
    }
    if (!this.#scheduled) this.#schedule();
    return false;
  }

  stop(): void {
    this.#over = true;
    this.#waiting = EMPTY;
    this.#ask.scrubber.close();
  }

  inTurn(): void {
    this.#scheduled = false;
    if (this.#over || !this.#isBehind) return;
    try {
      this.#go(this.#waiting);
    } catch (error) {
      // Invariant I7: nobody above this call would end the connection.
      this.#ask.thrown(error);
    }
  }

  /** Something of what came before is not passed on yet. */
  get #isBehind(): boolean {
    return this.#waiting.length > 0 || this.#ask.scrubber.pending;
  }

  #go(bytes: Buffer): void {
    const { scrubber, client, upstream } = this.#ask;
    const read = scrubber.feed(bytes);
    if (this.#over) return;
    this.#blocked = !scrubber.flush(client);
    if (read < bytes.length || scrubber.pending) return this.#wait(bytes, read);
    this.#waiting = EMPTY;
    if (this.ending) return this.#ask.ended();
    if (this.#blocked) this.#pause();
    else if (this.#paused) {
      this.#paused = false;
      upstream.resume();
    }
  }

  #wait(bytes: Buffer, read: number): void {
    // A copy, once: the buffer of a read is used again.
    this.#waiting = bytes === this.#waiting ? bytes.subarray(read) : Buffer.from(bytes.subarray(read));
    this.#pause();
    if (!this.#blocked) this.#schedule();
  }

  #pause(): void {
    this.#paused = true;
    this.#ask.upstream.pause();
  }

  #schedule(): void {
    this.#scheduled = true;
    this.#ask.rotation.ask(this.#ask.party, this);
  }
}
