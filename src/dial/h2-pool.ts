/**
 * The HTTP/2 connections of the pool, by the same keys as the others (`pool.ts`, which alone calls this): a request
 * takes a stream of one that is open, and a connection without streams is kept as long as an idle one of HTTP/1.1.
 */
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import type { Permit } from '../flow/permit.ts';
import type { H2Conn } from './h2-conn.ts';
import { H2Upstream } from './h2-upstream.ts';

export class H2Pool {
  readonly #clock: Clock;
  /** every living one; bounded by the groups' connection limits and the idle time */
  readonly #all = new Set<H2Upstream>();
  #kept: string | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#all.size;
  }

  /** A stream of a connection of that key, or null. */
  take(key: string): H2Conn | null {
    for (const one of this.#all) {
      if (one.key === key && one.free && !this.#isRetired(one)) return one.open();
    }
    return null;
  }

  /** The first stream of a connection whose peer chose HTTP/2. */
  adopt(socket: TLSSocket, key: string, permit: Permit): H2Conn {
    const onGone = (gone: H2Upstream): void => void this.#all.delete(gone);
    const made = new H2Upstream({ socket, key, permit, clock: this.#clock, onGone });
    this.#all.add(made);
    return made.open();
  }

  retire(keepSnapshotId: string): void {
    this.#kept = keepSnapshotId;
    for (const one of this.#all) if (this.#isRetired(one)) one.close();
  }

  cutIdentity(id: string): void {
    for (const one of this.#all) if (one.identityId === id) one.destroy();
  }

  /** `oldest`: connections without streams since before then go, monotonic milliseconds. */
  sweep(oldest: number): void {
    for (const one of this.#all) {
      one.sweep();
      if (!one.busy && one.idleSince <= oldest) one.destroy();
    }
  }

  close(): void {
    for (const one of this.#all) one.destroy();
  }

  stats(): { idle: number; busy: number } {
    let busy = 0;
    for (const one of this.#all) if (one.busy) busy += 1;
    return { idle: this.#all.size - busy, busy };
  }

  #isRetired(one: H2Upstream): boolean {
    return this.#kept !== null && one.snapshotId !== this.#kept;
  }
}
