/**
 * What belongs to the proxy itself, for the address guard: the addresses of its network interfaces
 * and its own listeners. Loopback interfaces are left out, because service addresses on `lo` are
 * ordinary destinations that the guard's ranges already judge; an address that a listener is bound to is
 * our own whatever interface it is on. Wired into `connect.ts` by `proxy.ts`.
 */
import { networkInterfaces } from 'node:os';
import type { Clock } from '../base/clock.ts';
import type { OwnAddresses } from '../policy/address-guard.ts';

/** Interfaces come and go (VPNs, container networks), but not per request. */
const CACHE_MS = 2_000;
/** What a listener on every address is bound to: it names none. */
const WILDCARDS = new Set(['0.0.0.0', '::']);

/**
 * A function that says the proxy's own addresses as of now: the same object until something changed or two
 * seconds passed, so that what follows from it can be remembered by it. `listeners` is asked every time, since
 * ports are known only once they are open. Throws when the system does not tell its interfaces: then nothing may
 * be dialled.
 */
export function createOwnAddresses(opts: {
  readonly clock: Clock;
  readonly listeners: () => OwnAddresses['listeners'];
  readonly interfaces?: typeof networkInterfaces;
}): () => OwnAddresses {
  const interfaces = opts.interfaces ?? networkInterfaces;
  let known: OwnAddresses | null = null;
  let readAt = Number.NEGATIVE_INFINITY;
  return () => {
    const now = opts.clock.mono();
    const listeners = opts.listeners();
    if (known !== null && now - readAt < CACHE_MS && known.listeners.length === listeners.length)
      return known;
    const entries = Object.values(interfaces()).flatMap((found) => found ?? []);
    readAt = now;
    known = {
      addresses: [
        ...entries.filter((entry) => !entry.internal).map((entry) => entry.address),
        ...listeners.map(({ address }) => address).filter((address) => !WILDCARDS.has(address)),
      ],
      local: entries.map((entry) => entry.address),
      listeners: [...listeners],
    };
    return known;
  };
}
