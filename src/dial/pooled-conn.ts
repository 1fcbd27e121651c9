/**
 * One upstream connection of the pool: its listeners are attached once and for all and speak to whoever
 * uses it at the moment. Made by `pool.ts` alone; others see the `UpstreamConn` type of `base/upstream.ts`.
 */
import type { Socket } from 'node:net';
import type { UpstreamConn, UpstreamUser } from '../base/upstream.ts';
import type { Permit } from '../flow/permit.ts';

export class PooledConn implements UpstreamConn {
  readonly socket: Socket;
  /** HTTP/1.1 has no words for it */
  readonly unprocessed = false;
  readonly key: string;
  readonly identityId: string;
  readonly group: string;
  readonly snapshotId: string;
  uses = 1;
  user: UpstreamUser | null = null;
  kept: object | null = null;
  busy = true;
  /** monotonic milliseconds; meaningful while not busy */
  idleSince = 0;
  readonly #onGone: (conn: PooledConn) => void;
  #error: Error | null = null;

  constructor(made: {
    readonly socket: Socket;
    readonly key: string;
    readonly permit: Permit;
    readonly onGone: (conn: PooledConn) => void;
  }) {
    this.socket = made.socket;
    this.key = made.key;
    this.identityId = made.permit.identity.id;
    this.group = made.permit.identity.group;
    this.snapshotId = made.permit.snapshotId;
    this.#onGone = made.onGone;
    this.#listen();
  }

  get alive(): boolean {
    const { socket } = this;
    return !socket.destroyed && socket.readable && socket.writable && socket.readableLength === 0;
  }

  becomeBusy(): void {
    this.busy = true;
    this.uses += 1;
  }

  becomeIdle(now: number): void {
    this.busy = false;
    this.idleSince = now;
    this.user = null;
    // Idle connections keep reading: that is how the upstream's close and unasked bytes are seen.
    if (this.socket.isPaused()) this.socket.resume();
  }

  /** Leaves the pool now; a user hears `onClose` when the socket is closed. */
  destroy(): void {
    this.#onGone(this);
    this.socket.destroy();
  }

  #listen(): void {
    const { socket } = this;
    socket.on('data', (bytes: Buffer) => {
      const { user } = this;
      if (user === null) return this.destroy();
      // Once for each answer: `#guard` without its closure.
      try {
        user.onData(bytes);
      } catch (cause) {
        this.#fail(cause);
      }
    });
    // A connection through a parent proxy comes paused, lest what follows the parent's answer be lost.
    if (socket.isPaused()) socket.resume();
    socket.on('drain', () => this.#guard(() => this.user?.onDrain()));
    socket.on('end', () => {
      // Cut off (`close-notify.ts`): `close` tells.
      if (socket.destroyed) return;
      if (this.user === null) this.destroy();
      else this.#guard(() => this.user?.onEnd());
    });
    socket.on('error', (error: Error) => {
      this.#error = error;
    });
    socket.on('close', () => {
      const { user } = this;
      this.user = null;
      this.#onGone(this);
      this.#guard(() => user?.onClose(this.#error));
    });
  }

  /** I7: an exception in a stage ends this connection, not the process. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (cause) {
      this.#fail(cause);
    }
  }

  #fail(cause: unknown): void {
    this.socket.destroy(cause instanceof Error ? cause : new Error('upstream user failed', { cause }));
  }
}
