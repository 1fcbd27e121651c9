/**
 * The upstream connection of one exchange: an idle one of the pool or a new one, never two. Whatever becomes of
 * the exchange, `letGo` gives it back or closes it, and ends a connection attempt that is still under way.
 */
import type { Clock } from '../base/clock.ts';
import type { UpstreamConn, UpstreamPool, UpstreamUser, Vet } from '../base/upstream.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';

export type SlotDeps = { readonly pool: UpstreamPool; readonly vet: Vet; readonly clock: Clock };

/** A reason of our own: without one every abort makes an exception with a stack. */
const GONE = 'the exchange is over';

export class UpstreamSlot {
  conn: UpstreamConn | null = null;
  /** waited for connections in all, milliseconds */
  connectingMs = 0;
  readonly #deps: SlotDeps;
  readonly #user: UpstreamUser;
  readonly #secure: boolean;
  #abort: AbortController | null = null;
  #over = false;

  constructor(deps: SlotDeps, user: UpstreamUser, secure: boolean) {
    this.#deps = deps;
    this.#user = user;
    this.#secure = secure;
  }

  /** Takes a connection that is open already, or has the addresses judged; then tells, unless `letGo` came first. */
  reserve(permit: Permit, told: (problem: Denied | null) => void): void {
    const idle = this.#deps.pool.take(permit, this.#secure);
    if (idle !== null) {
      this.#hold(idle);
      return told(null);
    }
    this.#deps.vet(permit, this.#signal()).then(
      (addresses) => this.#tell(told, 'kind' in addresses ? addresses : null),
      () => this.#tell(told, denied('dns_failed')),
    );
  }

  /** Connects anew; then tells, unless `letGo` came first. */
  open(permit: Permit, told: (problem: Denied | null) => void): void {
    const from = this.#deps.clock.mono();
    this.#deps.pool.open(permit, this.#secure, this.#signal()).then(
      (opened) => {
        this.connectingMs += this.#deps.clock.mono() - from;
        if ('kind' in opened) return this.#tell(told, opened);
        if (this.#over) return this.#deps.pool.discard(opened);
        this.#hold(opened);
        return told(null);
      },
      () => this.#tell(told, denied('connect_failed')),
    );
  }

  /** Closes the connection: nothing may be said on it any more. */
  drop(): void {
    const { conn } = this;
    this.conn = null;
    if (conn === null) return;
    conn.user = null;
    this.#deps.pool.discard(conn);
  }

  /** The exchange is over. `reusable`: the connection may serve the next request. */
  letGo(reusable: boolean): void {
    this.#over = true;
    const { conn } = this;
    if (conn === null) return this.#abort?.abort(GONE);
    if (!reusable) return this.drop();
    this.conn = null;
    conn.user = null;
    this.#deps.pool.release(conn);
  }

  #hold(conn: UpstreamConn): void {
    this.conn = conn;
    conn.user = this.#user;
  }

  #tell(told: (problem: Denied | null) => void, problem: Denied | null): void {
    if (!this.#over) told(problem);
  }

  #signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }
}
