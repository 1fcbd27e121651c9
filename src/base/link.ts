/**
 * One client's TCP socket. The accepted handle is wrapped again so that its reads land in the shared buffer
 * (`scratch.ts`); who gets the bytes changes as the connection goes on: the request reader, then a tunnel,
 * or a TLS socket that takes the handle over. Its listeners stand before anything is awaited.
 */
import net from 'node:net';
import type { Scratch } from './scratch.ts';
import type { Session, SessionSide } from './stages.ts';

export type LinkUser = {
  /** bytes are overwritten after the return; `false` pauses the socket */
  onBytes(bytes: Buffer): boolean;
  /** the client ended its side */
  onEnd(): void;
  /** what was written has left */
  onDrain(): void;
  /** the socket is gone; called once */
  onClose(failed: boolean): void;
  /** `now`: monotonic milliseconds, about once a second */
  tick(now: number): void;
};

const nothing = (): void => {};
const NOBODY: LinkUser = {
  onBytes: () => false,
  onEnd: nothing,
  onDrain: nothing,
  onClose: nothing,
  tick: nothing,
};

/** After an answer that ends the connection: how long and how much the client may still send. */
const LINGER_MS = 2_000;
const LINGER_BYTES = 1024 * 1024;

export class ClientLink {
  readonly socket: net.Socket;
  /** client address as text, IPv4-mapped forms unwrapped */
  readonly address: string;
  /** set by the stage that owns the connection now */
  user: LinkUser = NOBODY;
  #kept = 0;
  readonly #scratch: Scratch;
  readonly #onError: (error: unknown) => void;

  /**
   * `accepted` must be paused (`pauseOnConnect`) and not yet read from. `onError` hears of a user that threw:
   * its connection ends, no other does (invariant I7).
   */
  constructor(accepted: net.Socket, scratch: Scratch, onError: (error: unknown) => void) {
    this.#scratch = scratch;
    this.#onError = onError;
    this.address = plainAddress(accepted.remoteAddress ?? '');
    this.socket = rewrap(accepted, {
      buffer: scratch.current,
      callback: (count, buffer) => this.#onBytes(Buffer.from(buffer.buffer, buffer.byteOffset, count)),
    });
    this.socket.on('error', () => this.socket.destroy());
    this.socket.on('end', () => this.#guarded(() => this.user.onEnd()));
    this.socket.on('drain', () => {
      this.#releaseKept();
      this.#guarded(() => this.user.onDrain());
    });
    this.socket.on('close', (failed) => {
      this.#releaseKept();
      this.#guarded(() => this.user.onClose(failed));
      this.user = NOBODY;
    });
  }

  tick(now: number): void {
    this.#guarded(() => this.user.tick(now));
  }

  #onBytes(bytes: Buffer): boolean {
    try {
      return this.user.onBytes(bytes);
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #guarded(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#onError(error);
    this.socket.destroy();
  }

  /** `host:port` that the client connected to. */
  get localAuthority(): string {
    const { localAddress = '127.0.0.1', localPort = 0 } = this.socket;
    const host = plainAddress(localAddress);
    return host.includes(':') ? `[${host}]:${localPort}` : `${host}:${localPort}`;
  }

  /**
   * Sends the last bytes and our FIN, then reads on for a while and drops what comes: closing at once would
   * reset the connection under a client that is still sending, and take the answer away from it.
   */
  finishWith(bytes: Buffer): void {
    let left = LINGER_BYTES;
    let deadline = 0;
    const stop = (): void => void this.socket.destroy();
    this.user = {
      onBytes: (more) => {
        left -= more.length;
        if (left < 0) stop();
        return left >= 0;
      },
      onEnd: stop,
      onDrain: nothing,
      onClose: nothing,
      tick: (now) => {
        if (deadline === 0) deadline = now + LINGER_MS;
        else if (now > deadline) stop();
      },
    };
    this.socket.end(bytes);
    this.socket.resume();
  }

  /** Writes bytes that stand in the shared buffer. False: pause the other side until `onDrain`. */
  writeShared(bytes: Buffer): boolean {
    const more = this.socket.write(bytes);
    if (this.socket.writableLength > 0) this.#kept += this.#scratch.keep();
    return more;
  }

  #releaseKept(): void {
    if (this.#kept === 0) return;
    this.#scratch.release(this.#kept);
    this.#kept = 0;
  }
}

/** The client's side of an HTTP session that runs on the plain socket. */
export function linkSide(link: ClientLink): SessionSide {
  const { socket } = link;
  return {
    write: (bytes, encoding) => socket.write(bytes, encoding),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
  };
}

/**
 * Lets a session have what a plain socket says. The session keeps slices, so the shared bytes are copied; it pauses
 * the socket by itself.
 */
export function sessionUser(session: Session): LinkUser {
  return {
    onBytes: (bytes) => {
      session.feed(Buffer.from(bytes));
      return true;
    },
    onEnd: () => session.finish(),
    onDrain: () => session.drained(),
    onClose: () => session.closed(),
    tick: (now) => session.tick(now),
  };
}

/**
 * `net.Socket` takes `onread` only when it is made, and `net.Server` makes its sockets without; so the
 * native handle moves to a new socket. `_handle` is not documented API: the `handle` option is, and
 * `test/flow/rewrap.test.ts` holds both on every Node version that we support.
 */
function rewrap(accepted: net.Socket, onread: net.OnReadOpts): net.Socket {
  const handle: unknown = Reflect.get(accepted, '_handle');
  Reflect.set(accepted, '_handle', null);
  const options = { handle, onread, allowHalfOpen: true, readable: true, writable: true };
  // The types know another kind of handle only.
  return new net.Socket(options as net.SocketConstructorOpts);
}

function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
