/**
 * Both sides of a connection that switched to WebSocket: bytes both ways with backpressure, opaque unless messages
 * may hold placeholders; what the upstream says is passed on as it is unless a key is bound to it. Made by `upgrade.ts` after the 101; takes
 * over the client's bytes from the session and the upstream's from the exchange, which still owns record and end.
 */
import { type GroupUse, SPENT } from '../base/admission.ts';
import type { Clock } from '../base/clock.ts';
import type { Rotation } from '../base/rotation.ts';
import type { SessionSide } from '../base/stages.ts';
import type { UpstreamConn, UpstreamUser } from '../base/upstream.ts';
import { type Denied, denied, type Reason } from '../flow/reason.ts';
import { CLOSE, closeFrame } from '../wire/websocket.ts';
import type { Outcome } from './exchange-job.ts';
import type { MessageRewriter } from './message-rewriter.ts';
import type { MessageScrubber } from './message-scrubber.ts';
import { ScrubTurns } from './scrub-turns.ts';

export type RelayAsk = {
  readonly side: SessionSide;
  readonly conn: UpstreamConn;
  readonly clock: Clock;
  /** null: bytes of the client pass as they are */
  readonly rewriter: ((fail: (why: Denied) => void) => MessageRewriter) | null;
  /** null: bytes of the upstream pass as they are */
  readonly scrubber: ((fail: (why: Denied) => void) => MessageScrubber) | null;
  /** where a client that sends much waits for its next turn, */
  readonly rotation: Rotation;
  /** as this party */
  readonly client: string;
  /** an exception ended the connection */
  readonly onError: (error: unknown) => void;
  /** what the group may still send and receive */
  readonly use: GroupUse;
  /** ends the exchange: what was sent reaches the client, then a FIN */
  readonly end: (ended: Outcome, why: Denied | null) => void;
  /** ends it so that nothing looks complete to the client */
  readonly cut: (why: Denied, ended?: Outcome) => void;
};

const EMPTY: Buffer = Buffer.alloc(0);
const CLOSE_CODES: Partial<Record<Reason, number>> = {
  bad_request: CLOSE.protocol,
  body_too_large: CLOSE.tooBig,
  overloaded: CLOSE.tryLater,
  secret_unavailable: CLOSE.tryLater,
  upstream_bad_response: CLOSE.protocol,
};

export class UpgradeRelay implements UpstreamUser {
  bytesUp = 0;
  bytesDown = 0;
  /** last byte either way, monotonic milliseconds */
  activeAt: number;
  readonly #ask: RelayAsk;
  readonly #rewriter: MessageRewriter | null;
  /** null: the upstream's bytes pass as they are */
  readonly #turns: ScrubTurns | null;
  /** of the client, not looked at yet: one read, since no more is taken meanwhile */
  #waiting = EMPTY;
  /** a turn is due */
  #scheduled = false;
  #blocked = false;
  #clientEnded = false;
  #over = false;

  constructor(ask: RelayAsk) {
    this.#ask = ask;
    this.activeAt = ask.clock.mono();
    this.#rewriter = ask.rewriter?.((why) => this.#fail(why)) ?? null;
    this.#turns = this.#turnsOf(ask);
  }

  // ---- the client, by way of the session

  feed(bytes: Buffer): void {
    if (this.#over) return;
    this.activeAt = this.#ask.clock.mono();
    this.bytesUp += bytes.length;
    if (!this.#ask.use.up(bytes.length)) return this.#ask.cut(SPENT);
    if (this.#rewriter === null) {
      if (!this.#ask.conn.socket.write(bytes)) this.#ask.side.pause();
      return;
    }
    this.#waiting = this.#waiting.length === 0 ? bytes : Buffer.concat([this.#waiting, bytes]);
    this.#rewrite(this.#rewriter);
  }

  finish(): void {
    this.#clientEnded = true;
    this.#endWhenSent();
  }

  /** The exchange is over, whoever ended it. */
  stop(): void {
    this.#over = true;
    this.#waiting = EMPTY;
    this.#rewriter?.close();
    this.#turns?.stop();
  }

  #rewrite(rewriter: MessageRewriter): void {
    if (this.#scheduled || this.#blocked) return;
    this.#waiting = this.#waiting.subarray(rewriter.feed(this.#waiting));
    if (this.#over) return;
    this.#blocked = !rewriter.flush(this.#ask.conn.socket);
    if (this.#waiting.length === 0) {
      this.#waiting = EMPTY;
      if (this.#blocked) this.#ask.side.pause();
      else this.#ask.side.resume();
      return this.#endWhenSent();
    }
    this.#ask.side.pause();
    if (this.#blocked) return;
    this.#scheduled = true;
    this.#ask.rotation.ask(this.#ask.client, this);
  }

  /** Goes on with what waits of the client. */
  inTurn(): void {
    this.#scheduled = false;
    if (this.#over || this.#rewriter === null) return;
    try {
      this.#rewrite(this.#rewriter);
    } catch (error) {
      // Invariant I7: nobody above this call would end the connection.
      this.#thrown(error);
    }
  }

  #endWhenSent(): void {
    if (this.#clientEnded && this.#waiting.length === 0 && !this.#over) this.#ask.conn.socket.end();
  }

  #fail(why: Denied, ended: Outcome = 'refused'): void {
    if (this.#over) return;
    const { side, end } = this.#ask;
    // The scrubber writes whole frames. Inside one of the upstream's ours would be taken for its payload.
    if (this.#turns !== null) side.write(closeFrame(CLOSE_CODES[why.reason] ?? CLOSE.misuse, why.reason));
    end(ended, why);
  }

  #thrown(error: unknown): void {
    this.#ask.onError(error);
    this.#ask.cut(denied('not_ready'), 'refused');
  }

  // ---- the upstream

  #turnsOf({ scrubber: make, side, conn, rotation, client, end }: RelayAsk): ScrubTurns | null {
    const scrubber = make?.((why) => this.#fail(why, 'upstream_abort')) ?? null;
    if (scrubber === null) return null;
    return new ScrubTurns({
      scrubber,
      client: side,
      upstream: conn.socket,
      rotation,
      party: client,
      ended: () => end('done', null),
      thrown: (error) => this.#thrown(error),
    });
  }

  onData(bytes: Buffer): void {
    if (this.#over) return;
    this.activeAt = this.#ask.clock.mono();
    this.bytesDown += bytes.length;
    if (!this.#ask.use.down(bytes.length)) return this.#ask.cut(SPENT);
    if (this.#turns !== null) return this.#turns.feed(bytes);
    if (!this.#ask.side.write(bytes)) this.#ask.conn.socket.pause();
  }

  /** The client takes more again. False: the upstream is still to wait. */
  drained(): boolean {
    return this.#turns?.drained() !== false;
  }

  onDrain(): void {
    this.#blocked = false;
    if (this.#rewriter === null || this.#waiting.length === 0) this.#ask.side.resume();
    else this.#rewrite(this.#rewriter);
  }

  onEnd(): void {
    if (this.#turns?.end() !== false) this.#ask.end('done', null);
  }

  onClose(): void {
    if (this.#over || this.#turns?.ending === true) return;
    this.#ask.cut(denied('upstream_bad_response', 'The upstream closed the connection.'), 'upstream_abort');
  }
}
