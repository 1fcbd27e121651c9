/**
 * One client's TCP socket. The accepted handle is wrapped again so that its reads land in the shared buffer
 * (`scratch.ts`); who gets the bytes changes as the connection goes on: the request reader, then a tunnel,
 * or a TLS socket that takes the handle over. Its listeners stand before anything is awaited.
 */
import net from 'node:net';
import type { Denied } from '../flow/reason.ts';
import { Outlet } from './outlet.ts';
import { resetSocket } from './reset.ts';
import { UNLISTED } from './roster.ts';
import type { Scratch } from './scratch.ts';
import type { Seat } from './seats.ts';
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
  /** the proxy ends the connection; for who would else take it for the client's doing */
  cut?(why: Denied): void;
};

const nothing = (): void => {};
const NOBODY: LinkUser = {
  onBytes: () => false,
  onEnd: nothing,
  onDrain: nothing,
  onClose: nothing,
  tick: nothing,
};

/** After the last byte has left: how long and how much the client may still send before the socket goes. */
const LINGER_MS = 2_000;
const LINGER_BYTES = 1024 * 1024;
/** How long a client may leave our last bytes unread. */
const UNREAD_MS = 60_000;

export class ClientLink {
  readonly socket: net.Socket;
  /** client address as text, IPv4-mapped forms unwrapped */
  readonly address: string;
  /** set by the stage that owns the connection now */
  user: LinkUser = NOBODY;
  /** reads may be large: the bytes are passed on as they are */
  bulk = false;
  /** the place that it has among all connections; null: it has none and is being refused */
  seat: Seat | null = null;
  /** hears of the end of the connection, after its user */
  gone: (link: ClientLink) => void = nothing;
  place = UNLISTED;
  readonly #outlet: Outlet;
  readonly #onError: (error: unknown) => void;

  /**
   * `accepted` must be paused (`pauseOnConnect`) and not yet read from. `onError` hears of a user that threw:
   * its connection ends, no other does (invariant I7).
   */
  constructor(accepted: net.Socket, scratch: Scratch, onError: (error: unknown) => void) {
    this.#onError = onError;
    this.address = plainAddress(accepted.remoteAddress ?? '');
    this.socket = rewrap(accepted, {
      buffer: () => (this.bulk ? scratch.bulk() : scratch.small()),
      callback: (count, buffer) => this.#onBytes(Buffer.from(buffer.buffer, buffer.byteOffset, count)),
    });
    this.#outlet = new Outlet(this.socket, scratch);
    this.socket.on('error', () => this.socket.destroy());
    this.socket.on('end', () => this.#guarded(() => this.user.onEnd()));
    this.socket.on('drain', () => {
      this.#outlet.release();
      this.#guarded(() => this.user.onDrain());
    });
    this.socket.on('close', (failed) => {
      this.#outlet.release();
      this.seat?.leave();
      this.#guarded(() => this.user.onClose(failed));
      this.user = NOBODY;
      this.gone(this);
    });
  }

  tick(now: number): void {
    this.#guarded(() => this.user.tick(now));
  }

  /** Ends it for a reason of the proxy's own. */
  cut(why: Denied): void {
    this.#guarded(() => this.user.cut?.(why));
    this.socket.destroy();
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
   * reset the connection under a client that is still sending, and take the answer away from it. A client that
   * does not read, or does not end its side, loses the connection at a limit.
   */
  finishWith(bytes: Buffer | null): void {
    let left = LINGER_BYTES;
    const stop = (): void => void this.socket.destroy();
    const patience = new Patience(this.socket);
    this.user = {
      onBytes: (more) => {
        left -= more.length;
        if (left < 0) stop();
        return left >= 0;
      },
      onEnd: nothing,
      onDrain: nothing,
      onClose: nothing,
      tick: (now) => {
        if (patience.isOver(now)) stop();
      },
    };
    if (bytes === null) this.socket.end();
    else this.socket.end(bytes);
    this.socket.resume();
  }

  /** Ends it so that nothing sent may look complete: what is still on the way is thrown away. `top`: TLS on it. */
  reset(top: net.Socket = this.socket): void {
    resetSocket(this.socket, top);
  }

  /** Writes bytes that stand in a shared buffer. False: pause the other side until `onDrain`. */
  writeShared(bytes: Buffer): boolean {
    return this.#outlet.write(bytes);
  }
}

/**
 * How long a socket is kept that has been ended: a while for what the peer still sends, longer while it is taking
 * what we sent. `socket`: what tells how much waits.
 */
export class Patience {
  readonly #socket: { readonly writableLength: number };
  #waiting = -1;
  #deadline = 0;

  constructor(socket: { readonly writableLength: number }) {
    this.#socket = socket;
  }

  /** `now`: monotonic milliseconds; to be asked about once a second. */
  isOver(now: number): boolean {
    const waiting = this.#socket.writableLength;
    if (waiting !== this.#waiting) {
      this.#waiting = waiting;
      this.#deadline = now + (waiting > 0 ? UNREAD_MS : LINGER_MS);
    }
    return now >= this.#deadline;
  }
}

/** The client's side of an HTTP session that runs on the plain socket. */
export function linkSide(link: ClientLink): SessionSide {
  const { socket } = link;
  return {
    write: (bytes, encoding) => socket.write(bytes, encoding),
    end: () => void socket.end(),
    destroy: () => link.reset(),
    unsent: socket,
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
  if (!hasHandle(accepted)) throw new Error('this Node keeps the handles of sockets elsewhere');
  const handle = accepted._handle;
  accepted._handle = null;
  const options = { handle, onread, allowHalfOpen: true, readable: true, writable: true };
  // The types know another kind of handle only.
  return new net.Socket(options as net.SocketConstructorOpts);
}

function hasHandle(socket: net.Socket): socket is net.Socket & { _handle: unknown } {
  return '_handle' in socket;
}

function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
