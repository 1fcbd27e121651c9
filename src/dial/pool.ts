/**
 * Upstream connections kept for the next request, HOT PATH: `take` and `release` run once per request.
 * A connection belongs to one (identity, target, TLS or not, snapshot, opened ranges) for life: it never
 * serves two identities (I9) and never outlives its policy (I10). Called by intercept/exchange; an
 * upstream that speaks while nobody asked is cut (response queue poisoning, CVE-2026-48931).
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { UpstreamConn } from '../base/upstream.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { AlpnOffers, Dialer } from './connect.ts';
import { H2Conn } from './h2-conn.ts';
import { H2Pool } from './h2-pool.ts';
import type { H2Upstream } from './h2-upstream.ts';
import { PoolKeys } from './pool-key.ts';
import { PooledConn } from './pooled-conn.ts';

export type { UpstreamConn, UpstreamUser } from '../base/upstream.ts';

export type Pool = {
  /** An idle, living connection of exactly this permit's kind, now busy; null when there is none. */
  take(permit: Permit, secure: boolean, h2?: boolean): UpstreamConn | null;
  /** A new one, busy; set `user` before the next await. Reasons as `Dialer.tls` and `Dialer.tcp`. */
  open(permit: Permit, secure: boolean, signal?: AbortSignal, h2?: boolean): Promise<UpstreamConn | Denied>;
  /** Back to idle, after the last byte of the answer. Does nothing for a connection not busy. */
  release(conn: UpstreamConn): void;
  /** Closes at once; the user hears nothing more. */
  discard(conn: UpstreamConn): void;
  /** From now on only this snapshot's connections are kept. */
  retire(keepSnapshotId: string): void;
  /** Destroys every connection of an identity, busy and opening ones too. */
  cutIdentity(id: string): void;
  /** Destroys every connection of the groups that are locked, busy and opening ones too. */
  cutGroups(locked: (group: string) => boolean): void;
  close(): void;
  stats(): { idle: number; busy: number };
};

type OpenAsk = {
  readonly secure: boolean;
  readonly h2: boolean;
  readonly key: string;
  readonly signal: AbortSignal | undefined;
};

/** The client speaks HTTP/2 as well: nothing has to be translated where the upstream does, too. */
const H2_WELCOME: AlpnOffers = [['h2', 'http/1.1']];
/** HTTP/2 costs twice; it is for upstreams that speak nothing else. */
const HTTP1_FIRST: AlpnOffers = [['http/1.1'], ['h2']];

export type PoolLimits = {
  readonly idlePerKey: number;
  readonly idleTotal: number;
  /** milliseconds */
  readonly idleMs: number;
};

const POOL_LIMITS: PoolLimits = { idlePerKey: 32, idleTotal: 1024, idleMs: 30_000 };
/** Part of `idleTotal` that is closed when it is reached. */
const ROOM = 1 / 16;
/** TLS sessions kept, one per key: a few KiB each */
const MAX_SESSIONS = 1024;

export function createPool(opts: {
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly limits?: Partial<PoolLimits>;
}): Pool {
  return new ConnPool(opts.dialer, opts.clock, { ...POOL_LIMITS, ...opts.limits });
}

class ConnPool implements Pool {
  readonly #dialer: Dialer;
  readonly #clock: Clock;
  readonly #limits: PoolLimits;
  readonly #keys = new PoolKeys();
  /** every living connection; bounded by the groups' connection limits and the idle caps */
  readonly #all = new Set<PooledConn>();
  /** idle ones of either protocol, longest idle first */
  readonly #idle = new Set<PooledConn | H2Upstream>();
  /** those of HTTP/1.1 by key, the warmest last */
  readonly #byKey = new Map<string, PooledConn[]>();
  readonly #opening = new Set<{
    readonly identityId: string;
    readonly group: string;
    readonly abort: AbortController;
  }>();
  readonly #sessions = new LRUCache<string, Buffer>({ max: MAX_SESSIONS });
  readonly #h2: H2Pool;
  /** keys to which a connection that may speak HTTP/2 is being opened: who comes meanwhile may share it */
  readonly #sharing = new Map<string, Promise<unknown>>();
  readonly #sweeper: NodeJS.Timeout;
  #keptSnapshot: string | null = null;
  #closed = false;

  constructor(dialer: Dialer, clock: Clock, limits: PoolLimits) {
    this.#dialer = dialer;
    this.#clock = clock;
    this.#limits = limits;
    this.#h2 = new H2Pool({
      clock,
      idlePerKey: limits.idlePerKey,
      onIdle: (idle) => this.#rest(idle),
      onTaken: (taken) => void this.#idle.delete(taken),
    });
    this.#sweeper = setInterval(() => this.#sweep(), Math.max(1, limits.idleMs / 4)).unref();
  }

  take(permit: Permit, secure: boolean, h2 = false): UpstreamConn | null {
    const key = this.#keys.of(permit, secure, h2);
    const warm = this.#byKey.get(key);
    if (warm === undefined) return this.#h2.size === 0 ? null : this.#h2.take(key);
    const oldest = this.#clock.mono() - this.#limits.idleMs;
    for (let conn = warm.pop(); conn !== undefined; conn = warm.pop()) {
      this.#idle.delete(conn);
      if (conn.idleSince > oldest && conn.alive) {
        conn.becomeBusy();
        return conn;
      }
      conn.destroy();
    }
    return null;
  }

  async open(
    permit: Permit,
    secure: boolean,
    signal?: AbortSignal,
    h2 = false,
  ): Promise<UpstreamConn | Denied> {
    const key = this.#keys.of(permit, secure, h2);
    const before = this.#sharing.get(key);
    if (before !== undefined) {
      await before;
      const shared = this.#closed ? null : this.#h2.take(key);
      if (shared !== null) return shared;
    }
    const opened = this.#openNew(permit, { secure, h2, key, signal });
    if (!secure || !h2 || this.#sharing.has(key)) return opened;
    this.#sharing.set(key, opened);
    try {
      return await opened;
    } finally {
      this.#sharing.delete(key);
    }
  }

  async #openNew(permit: Permit, how: OpenAsk): Promise<UpstreamConn | Denied> {
    const { secure, h2, key, signal } = how;
    if (this.#closed) return denied('draining');
    const { id: identityId, group } = permit.identity;
    const opening = { identityId, group, abort: new AbortController() };
    const leave = (): void => opening.abort.abort();
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted === true) leave();
    this.#opening.add(opening);
    try {
      const socket = await this.#connect(permit, { secure, h2, key, signal: opening.abort.signal });
      if ('reason' in socket) return socket;
      // The cut may have come between the last event of the dial and this line.
      if (opening.abort.signal.aborted || socket.destroyed) {
        socket.destroy();
        return denied('connect_failed');
      }
      if (socket instanceof TLSSocket && socket.alpnProtocol === 'h2')
        return this.#h2.adopt(socket, key, permit);
      const conn = new PooledConn({ socket, key, permit, onGone: (gone) => this.#forget(gone) });
      this.#all.add(conn);
      return conn;
    } finally {
      this.#opening.delete(opening);
      signal?.removeEventListener('abort', leave);
    }
  }

  release(conn: UpstreamConn): void {
    if (conn instanceof H2Conn) return conn.release();
    if (!(conn instanceof PooledConn) || !this.#all.has(conn) || !conn.busy) return;
    if (this.#closed || !conn.alive || this.#isRetired(conn)) {
      this.discard(conn);
      return;
    }
    conn.becomeIdle(this.#clock.mono());
    const warm = this.#byKey.get(conn.key);
    if (warm === undefined) this.#byKey.set(conn.key, [conn]);
    else {
      warm.push(conn);
      if (warm.length > this.#limits.idlePerKey) warm[0]?.destroy();
    }
    this.#rest(conn);
  }

  discard(conn: UpstreamConn): void {
    conn.user = null;
    conn.socket.destroy();
    if (conn instanceof PooledConn) this.#forget(conn);
  }

  retire(keepSnapshotId: string): void {
    this.#keptSnapshot = keepSnapshotId;
    for (const conn of this.#idle) if (this.#isRetired(conn)) conn.destroy();
    this.#h2.retire(keepSnapshotId);
  }

  cutIdentity(id: string): void {
    for (const opening of this.#opening) if (opening.identityId === id) opening.abort.abort();
    for (const conn of this.#all) if (conn.identityId === id) conn.destroy();
    this.#h2.cutIdentity(id);
  }

  cutGroups(locked: (group: string) => boolean): void {
    for (const opening of this.#opening) if (locked(opening.group)) opening.abort.abort();
    for (const conn of this.#all) if (locked(conn.group)) conn.destroy();
    this.#h2.cutGroups(locked);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#sweeper);
    for (const opening of this.#opening) opening.abort.abort();
    for (const conn of this.#all) conn.destroy();
    this.#h2.close();
    this.#sessions.clear();
  }

  stats(): { idle: number; busy: number } {
    const idle = this.#idle.size;
    return { idle, busy: this.#all.size + this.#h2.size - idle };
  }

  async #connect(permit: Permit, how: OpenAsk & { signal: AbortSignal }): Promise<Socket | Denied> {
    const { secure, h2, key, signal } = how;
    if (!secure) return this.#dialer.tcp(permit, { signal });
    const session = this.#sessions.get(key);
    return this.#dialer.tls(permit, {
      signal,
      protocols: h2 ? H2_WELCOME : HTTP1_FIRST,
      ...(session === undefined ? {} : { session }),
      onSession: (fresh) => this.#sessions.set(key, fresh),
    });
  }

  #rest(conn: PooledConn | H2Upstream): void {
    this.#idle.add(conn);
    if (this.#idle.size > this.#limits.idleTotal) this.#makeRoom();
  }

  /**
   * Closes the longest idle ones of the group that has the most: connections of one group do not push out those of
   * another. Several at once, so that a flood does not count them at every request.
   */
  #makeRoom(): void {
    const counts = new Map<string, number>();
    for (const { group } of this.#idle) counts.set(group, (counts.get(group) ?? 0) + 1);
    const [most] = [...counts].reduce((best, at) => (at[1] > best[1] ? at : best), ['', 0]);
    let left = Math.max(1, Math.floor(this.#limits.idleTotal * ROOM));
    for (const conn of this.#idle) {
      if (left === 0) return;
      if (conn.group !== most) continue;
      left -= 1;
      conn.destroy();
    }
  }

  #isRetired(conn: PooledConn | H2Upstream): boolean {
    return this.#keptSnapshot !== null && conn.snapshotId !== this.#keptSnapshot;
  }

  /** Takes a dead connection off every list, so that the lists are never longer than what lives. */
  #forget(conn: PooledConn): void {
    this.#all.delete(conn);
    this.#idle.delete(conn);
    const warm = this.#byKey.get(conn.key);
    if (warm === undefined) return;
    const at = warm.indexOf(conn);
    if (at >= 0) warm.splice(at, 1);
    if (warm.length === 0) this.#byKey.delete(conn.key);
  }

  #sweep(): void {
    const oldest = this.#clock.mono() - this.#limits.idleMs;
    this.#h2.sweep();
    for (const conn of this.#idle) {
      if (conn.idleSince > oldest) return;
      conn.destroy();
    }
  }
}
