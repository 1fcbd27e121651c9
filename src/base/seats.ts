/**
 * Who the open client connections belong to. A connection that has not said who it is belongs to the group of its
 * source address, or to nobody's, where each address has a part; from its first request on it belongs to the
 * identity's group. The seat is given back when the socket closes, exactly once.
 */
import { type Denied, denied } from '../flow/reason.ts';
import { FairShare } from './fair-share.ts';

/** Connections whose address tells no group; no group can have this name. */
const NOBODY = '';
/** One address without a group may have a sixteenth of all places before it says who it is. */
const ADDRESS_PART = 16;
const FULL = denied('overloaded', 'Too many connections are open; the share of this group is in use.');

export class Seats {
  readonly #share: FairShare;
  readonly #perAddress: number;
  readonly #groupOf: (address: string) => string | null;
  readonly #strangers = new Map<string, number>();

  /** `max`: connections in all; `groupOf`: what a source address tells. */
  constructor(max: number, groupOf: (address: string) => string | null) {
    this.#share = new FairShare(max);
    this.#perAddress = Math.max(1, Math.floor(max / ADDRESS_PART));
    this.#groupOf = groupOf;
  }

  /** How many groups there are from now on. */
  divide(groups: number): void {
    this.#share.divide(groups + 1);
  }

  /** A seat for a connection that was just accepted; null: there is none for such an address. */
  sit(address: string): Seat | null {
    const group = this.#groupOf(address) ?? NOBODY;
    const known = this.#strangers.get(address) ?? 0;
    if (group === NOBODY && known >= this.#perAddress) return null;
    if (!this.#share.take(group)) return null;
    if (group === NOBODY) this.#strangers.set(address, known + 1);
    return new Seat(this, address, group);
  }

  /** Connections of a group, those of its addresses that have asked for nothing yet too. */
  openOf(group: string): number {
    return this.#share.takenBy(group);
  }

  /** For `Seat` alone. */
  move(address: string, from: string, to: string): boolean {
    if (!this.#share.take(to)) return false;
    this.leave(address, from);
    return true;
  }

  /** For `Seat` alone. */
  leave(address: string, group: string): void {
    this.#share.give(group);
    if (group !== NOBODY) return;
    const known = this.#strangers.get(address) ?? 0;
    if (known > 1) this.#strangers.set(address, known - 1);
    else this.#strangers.delete(address);
  }
}

export class Seat {
  readonly #seats: Seats;
  readonly #address: string;
  #group: string;
  #identified = false;
  #left = false;
  #giveBack: (() => void) | null = null;

  constructor(seats: Seats, address: string, group: string) {
    this.#seats = seats;
    this.#address = address;
    this.#group = group;
  }

  /** The group that asked for something on this connection last; null before anybody did. */
  get group(): string | null {
    return this.#identified ? this.#group : null;
  }

  /** It counts against the group's own limit already. */
  get counted(): boolean {
    return this.#giveBack !== null;
  }

  /** The connection is `group`'s from now on. */
  take(group: string): Denied | null {
    if (this.#left) return FULL;
    if (this.#group !== group) {
      if (!this.#seats.move(this.#address, this.#group, group)) return FULL;
      this.#uncount();
      this.#group = group;
    }
    this.#identified = true;
    return null;
  }

  /** It counts against a limit of its group: `giveBack` is called once, at once where the connection is gone. */
  count(giveBack: () => void): void {
    if (this.#left || this.#giveBack !== null) giveBack();
    else this.#giveBack = giveBack;
  }

  /** The socket is closed. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#uncount();
    this.#seats.leave(this.#address, this.#group);
  }

  #uncount(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = null;
    giveBack?.();
  }
}
