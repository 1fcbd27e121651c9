/**
 * Leave of the group's limits, and the upstream connection of one exchange: an idle one of the pool or a new one,
 * never two. Whatever becomes of the exchange, `letGo` gives it back or closes it, and ends a connection attempt
 * that is still under way.
 */
import type { GroupUse, Limits } from '../base/admission.ts';
import type { Clock } from '../base/clock.ts';
import type { Seat } from '../base/seats.ts';
import type { UpstreamConn, UpstreamPool, UpstreamUser, Vet } from '../base/upstream.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Facts } from '../flow/verdict.ts';

export type SlotDeps = {
  readonly pool: UpstreamPool;
  readonly vet: Vet;
  readonly clock: Clock;
  readonly limits: Limits;
};

/** Whom the slot serves. */
export type SlotUser = UpstreamUser & {
  /** what was asked for (`reserve`, `open`) is there; else why not. Told once for each, unless `letGo` came first */
  granted(problem: Denied | null): void;
};

/** What of an exchange's job matters here. */
type SlotJob = {
  readonly secure: boolean;
  readonly protocol: Facts['protocol'];
  readonly identity: Identity;
  readonly seat: Seat | null;
  readonly waitedMs: number;
};

/** A reason of our own: without one every abort makes an exception with a stack. */
const GONE = 'the exchange is over';

export class UpstreamSlot {
  conn: UpstreamConn | null = null;
  /** waited for connections and people in all, milliseconds */
  waitedMs: number;
  readonly #deps: SlotDeps;
  readonly #user: SlotUser;
  readonly #secure: boolean;
  /** the client speaks HTTP/2: the upstream may, too */
  readonly #h2: boolean;
  readonly #seat: Seat | null;
  /** what the group of the exchange uses of its limits */
  readonly use: GroupUse;
  /** the limit that monitor mode lifted */
  lifted: Denied | null = null;
  #abort: AbortController | null = null;
  #countedDown = 0;
  #over = false;

  constructor(deps: SlotDeps, user: SlotUser, { secure, protocol, identity, seat, waitedMs }: SlotJob) {
    this.#deps = deps;
    this.#user = user;
    this.waitedMs = waitedMs;
    this.#secure = secure;
    this.#h2 = protocol === 'h2';
    this.#seat = seat;
    this.use = deps.limits.of(identity.group);
  }

  /** Asks the limits; then takes a connection that is open already, or has the addresses judged; then tells. */
  reserve(permit: Permit): void {
    if (!this.use.limited && this.#seat === null) return this.#find(permit);
    return this.use.admit({ seat: this.#seat, request: true }, (why, lifted) => {
      if (why !== null && !lifted) return this.#tell(why);
      this.lifted = why;
      return this.#over ? undefined : this.#find(permit);
    });
  }

  #find(permit: Permit): void {
    const idle = this.#deps.pool.take(permit, this.#secure, this.#h2);
    if (idle !== null) {
      this.#hold(idle);
      return this.#tell(null);
    }
    this.#deps.vet(permit, this.#signal()).then(
      (addresses) => this.#tell('kind' in addresses ? addresses : null),
      () => this.#tell(denied('dns_failed')),
    );
  }

  /** Counts towards the group's limit what came down since, `bytes` in all. False: it is spent. */
  countDown(bytes: number): boolean {
    const fresh = bytes - this.#countedDown;
    this.#countedDown = bytes;
    return this.use.down(fresh);
  }

  /** Connects anew; then tells. */
  open(permit: Permit): void {
    const from = this.#deps.clock.mono();
    this.#deps.pool.open(permit, this.#secure, this.#signal(), this.#h2).then(
      (opened) => {
        this.waitedMs += this.#deps.clock.mono() - from;
        if ('kind' in opened) return this.#tell(opened);
        if (this.#over) return this.#deps.pool.discard(opened);
        this.#hold(opened);
        return this.#tell(null);
      },
      () => this.#tell(denied('connect_failed')),
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

  #tell(problem: Denied | null): void {
    if (!this.#over) this.#user.granted(problem);
  }

  #signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }
}
