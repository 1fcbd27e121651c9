/**
 * One HTTP/2 connection to an upstream, over TLS that was verified: its streams are the connections that exchanges see
 * (`h2-conn.ts`). Push is refused, floods end it, GOAWAY lets its streams end and takes no new ones. It belongs to one
 * identity, target and policy for life, like every connection of the pool (I9, I10). Made by `h2-pool.ts`.
 */
import http2 from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { H2Wire } from '../base/h2-wire.ts';
import type { Permit } from '../flow/permit.ts';
import { hostText } from '../flow/target.ts';
import { FLAG, FRAME, type Frame } from '../wire/h2-frames.ts';
import { HEAD_LIMITS } from '../wire/http1-fields.ts';
import { H2Conn } from './h2-conn.ts';

/** However many the upstream takes: one connection's share of memory and time. */
const MAX_STREAMS = 100;
/** Body bytes that an upstream may send ahead of a slow client, per stream. */
const STREAM_WINDOW = 256 * 1024;
/** MiB that the library may hold for one connection. */
const MAX_MEMORY = 32;

/** The types do not know yet that clients have it too: what a peer repeats is passed on, the library would throw. */
const OPTIONS: http2.ClientSessionOptions & { readonly strictSingleValueFields: boolean } = {
  settings: {
    enablePush: false,
    initialWindowSize: STREAM_WINDOW,
    maxHeaderListSize: HEAD_LIMITS.maxHeadBytes,
  },
  maxHeaderListPairs: HEAD_LIMITS.maxFields + 8,
  maxReservedRemoteStreams: 0,
  maxSessionMemory: MAX_MEMORY,
  peerMaxConcurrentStreams: MAX_STREAMS,
  strictSingleValueFields: false,
};

export type H2UpstreamAsk = {
  readonly socket: TLSSocket;
  readonly key: string;
  readonly permit: Permit;
  readonly clock: Clock;
  /** its last stream is gone; not told of one that is gone itself */
  readonly onIdle: (idle: H2Upstream) => void;
  /** may be told more than once */
  readonly onGone: (gone: H2Upstream) => void;
};

export class H2Upstream {
  readonly key: string;
  readonly identityId: string;
  readonly group: string;
  readonly snapshotId: string;
  /** monotonic milliseconds; meaningful without streams */
  idleSince: number;
  readonly #made: H2UpstreamAsk;
  readonly #wire: H2Wire;
  readonly #session: http2.ClientHttp2Session;
  readonly #conns = new Set<H2Conn>();
  #uses = 0;
  #gone = false;

  constructor(made: H2UpstreamAsk) {
    const { socket, permit, clock } = made;
    this.key = made.key;
    this.identityId = permit.identity.id;
    this.group = permit.identity.group;
    this.snapshotId = permit.snapshotId;
    this.#made = made;
    this.idleSince = clock.mono();
    this.#wire = new H2Wire({
      socket,
      clock,
      peer: 'server',
      came: (frame) => this.#came(frame),
      onAbuse: () => this.destroy(),
    });
    this.#session = http2.connect(`https://${hostText(permit.target, 443)}`, {
      ...OPTIONS,
      createConnection: () => this.#wire,
    });
    // What went wrong is told to each stream; `close` follows.
    this.#session.on('error', () => this.#wire.destroy());
    this.#session.on('close', () => {
      setImmediate(() => this.#wire.destroy());
      this.#leave();
    });
  }

  get busy(): boolean {
    return this.#conns.size > 0;
  }

  /** May another stream be asked for. */
  get free(): boolean {
    if (this.#session.closed || this.#session.destroyed) return false;
    const most = Math.min(MAX_STREAMS, this.#session.remoteSettings.maxConcurrentStreams ?? MAX_STREAMS);
    return this.#conns.size < most;
  }

  /** The shape of a connection; its stream begins with the first head written to it. */
  open(): H2Conn {
    this.#uses += 1;
    const made = this.#made;
    const conn = new H2Conn({
      key: this.key,
      uses: this.#uses,
      reads: this.#wire,
      begin: (fields, options) => this.#session.request(fields, options),
      onGone: (gone) => {
        this.#conns.delete(gone);
        if (this.busy || this.#gone) return;
        this.idleSince = made.clock.mono();
        made.onIdle(this);
      },
    });
    this.#conns.add(conn);
    return conn;
  }

  /** Takes no more streams; what is open may end. */
  close(): void {
    if (!this.#session.closed && !this.#session.destroyed) this.#session.close();
  }

  /** Answers that are whole, on streams that the upstream does not end. */
  sweep(): void {
    for (const conn of this.#conns) if (conn.released) conn.abandon();
  }

  #came({ type, flags, stream }: Frame): void {
    if ((flags & FLAG.endStream) === 0 || (type !== FRAME.data && type !== FRAME.headers)) return;
    for (const conn of this.#conns) conn.ending(stream);
  }

  #leave(): void {
    this.#gone = true;
    this.#made.onGone(this);
  }

  /** Leaves the pool now. */
  destroy(): void {
    this.#leave();
    if (!this.#session.destroyed) this.#session.destroy();
    this.#wire.destroy();
  }
}
