/**
 * What is open now: every client connection for deadlines, every judged flow for revocation, reload and
 * lockdown. One clock tick a second walks both; nothing has a timer of its own.
 */
import type { Approval } from '../flow/approval.ts';
import type { Identity } from '../flow/identity.ts';
import type { Permit } from '../flow/permit.ts';
import type { Denied } from '../flow/reason.ts';
import type { Target } from '../flow/target.ts';
import type { Facts, Treat } from '../flow/verdict.ts';
import type { ClientLink } from './link.ts';
import { type Listed, Roster, UNLISTED } from './roster.ts';
import type { Seat, Seats } from './seats.ts';

/** A flow whose verdict must hold for as long as it lives (invariant I10). */
export type LiveFlow = Listed & {
  readonly id: string;
  readonly identity: Identity;
  /** client address */
  readonly client: string;
  readonly target: Target;
  readonly treat: Treat;
  /** milliseconds since the epoch */
  readonly startedAt: number;
  /** the request under way, where it can be read */
  readonly facts: Facts | null;
  /** the person's yes that it lives by; `waits`: it needs one and has none yet */
  readonly approval?: Approval | 'waits' | null;
  /** of what may be sent upstream; null: nothing yet */
  readonly permit?: Permit | null;
  readonly bytesUp: number;
  readonly bytesDown: number;
  cut(why: Denied): void;
};

/** Hears of connections: tunnels, intercepted connections, and plain requests, not each intercepted request. */
export type LiveWatcher = { opened(flow: LiveFlow): void; closed(flow: LiveFlow): void };

export class LiveRegistry {
  readonly #links = new Roster<ClientLink>();
  readonly #flows = new Roster<LiveFlow>();
  readonly #watcher: LiveWatcher;

  readonly #seats: Seats;

  constructor(watcher: LiveWatcher, seats: Seats) {
    this.#watcher = watcher;
    this.#seats = seats;
  }

  /** Lists a connection. False: there is no seat for it, so it must be refused; the tick ends it at its limit. */
  addLink(link: ClientLink): boolean {
    this.#links.add(link);
    link.gone = this.#left;
    link.seat = this.#seats.sit(link.address);
    return link.seat !== null;
  }

  readonly #left = (link: ClientLink): void => {
    this.#links.delete(link);
  };

  /** The seats of all connections that are not being refused. */
  *seats(): Iterable<Seat> {
    for (const { seat } of this.#links.all()) if (seat !== null) yield seat;
  }

  add(flow: LiveFlow): void {
    this.#flows.add(flow);
    if (isConnection(flow)) this.#watcher.opened(flow);
  }

  drop(flow: LiveFlow): void {
    if (this.#flows.delete(flow) && isConnection(flow)) this.#watcher.closed(flow);
  }

  /** Open client connections. */
  get connections(): number {
    return this.#links.size;
  }

  links(): Iterable<ClientLink> {
    return this.#links.all();
  }

  /** Open connections, as an operator counts them. */
  connectionsOpen(): LiveFlow[] {
    return this.#flows.all().filter(isConnection);
  }

  /** Cuts one of `connectionsOpen`. False: there is none of that id. */
  cut(id: string, why: Denied): boolean {
    const flow = this.connectionsOpen().find((one) => one.id === id);
    if (flow === undefined) return false;
    flow.cut(why);
    return true;
  }

  /** Lets every connection look at its deadlines. `now`: monotonic milliseconds. */
  tick(now: number): void {
    for (const link of this.#links.all()) link.tick(now);
  }

  /** Judges every live flow with `judge` and cuts those that lose. Returns how many were cut. */
  cutLosers(judge: (flow: LiveFlow) => Denied | null): number {
    let cut = 0;
    for (const flow of this.#flows.all()) {
      // An earlier cut may have ended this one with it.
      if (flow.place === UNLISTED) continue;
      const why = judge(flow);
      if (why === null) continue;
      cut += 1;
      flow.cut(why);
    }
    return cut;
  }
}

/** Ways in that fix no target: each request is judged and listed by itself. */
const ONE_BY_ONE: ReadonlySet<Target['via']> = new Set(['absolute-form', 'transparent-http']);

/** A request inside a connection that is listed itself is no connection of its own. */
function isConnection(flow: LiveFlow): boolean {
  return flow.facts === null || ONE_BY_ONE.has(flow.target.via);
}
