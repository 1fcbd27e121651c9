/**
 * The HTTP/2 connections of the pool, by the same keys as the others (`pool.ts`, which alone calls this): a request
 * takes a stream of one that is open. One without streams is idle, and counts there among those of HTTP/1.1.
 */
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import type { Permit } from '../flow/permit.ts';
import type { H2Conn } from './h2-conn.ts';
import { H2Upstream } from './h2-upstream.ts';

export type H2PoolAsk = {
  readonly clock: Clock;
  readonly idlePerKey: number;
  /** has no streams any more */
  readonly onIdle: (idle: H2Upstream) => void;
  /** has one again, or is gone */
  readonly onTaken: (taken: H2Upstream) => void;
};

export class H2Pool {
  readonly #ask: H2PoolAsk;
  /** every living one; bounded by the groups' connection limits and the idle caps */
  readonly #all = new Set<H2Upstream>();
  /** the same by key */
  readonly #byKey = new Map<string, Set<H2Upstream>>();
  #kept: string | null = null;

  constructor(ask: H2PoolAsk) {
    this.#ask = ask;
  }

  get size(): number {
    return this.#all.size;
  }

  /** A stream of a connection of that key, or null. */
  take(key: string): H2Conn | null {
    for (const one of this.#byKey.get(key) ?? []) {
      if (!one.free || this.#isRetired(one)) continue;
      this.#ask.onTaken(one);
      return one.open();
    }
    return null;
  }

  /** The first stream of a connection whose peer chose HTTP/2. */
  adopt(socket: TLSSocket, key: string, permit: Permit): H2Conn {
    const made = new H2Upstream({
      socket,
      key,
      permit,
      clock: this.#ask.clock,
      onIdle: (idle) => this.#rest(idle),
      onGone: (gone) => this.#forget(gone),
    });
    this.#all.add(made);
    const sameKey = this.#byKey.get(key);
    if (sameKey === undefined) this.#byKey.set(key, new Set([made]));
    else sameKey.add(made);
    return made.open();
  }

  retire(keepSnapshotId: string): void {
    this.#kept = keepSnapshotId;
    for (const one of this.#all) if (this.#isRetired(one)) one.close();
  }

  cutIdentity(id: string): void {
    for (const one of this.#all) if (one.identityId === id) one.destroy();
  }

  cutGroups(locked: (group: string) => boolean): void {
    for (const one of this.#all) if (locked(one.group)) one.destroy();
  }

  /** Ends streams whose answers are whole. */
  sweep(): void {
    for (const one of this.#all) one.sweep();
  }

  close(): void {
    for (const one of this.#all) one.destroy();
  }

  #rest(idle: H2Upstream): void {
    let count = 0;
    for (const one of this.#byKey.get(idle.key) ?? []) if (!one.busy) count += 1;
    if (count > this.#ask.idlePerKey) idle.destroy();
    else this.#ask.onIdle(idle);
  }

  #forget(gone: H2Upstream): void {
    if (!this.#all.delete(gone)) return;
    const sameKey = this.#byKey.get(gone.key);
    sameKey?.delete(gone);
    if (sameKey?.size === 0) this.#byKey.delete(gone.key);
    this.#ask.onTaken(gone);
  }

  #isRetired(one: H2Upstream): boolean {
    return this.#kept !== null && one.snapshotId !== this.#kept;
  }
}
