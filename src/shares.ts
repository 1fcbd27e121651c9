/**
 * Composition of what groups share and may use up: the caps of this process with a part of each for every group, and
 * the limits of their policies. Made by `proxy.ts`; tests make the caps small.
 */
import type { Clock } from './base/clock.ts';
import { FairShare } from './base/fair-share.ts';
import { HeldBytes } from './base/held-bytes.ts';
import { Seats } from './base/seats.ts';
import type { Snapshot, SnapshotHolder } from './config/snapshot.ts';
import { createLimits, type LimitKeeper } from './gate/limits.ts';
import { MemoryStore } from './state/memory.ts';
import type { StateStore } from './state/store.ts';

export type Caps = {
  /** names being resolved */
  readonly lookups: number;
  /** open client connections */
  readonly connections: number;
  /** what one group's clients have sent ahead of their answers */
  readonly earlyBytes: number;
  /** open HTTP/2 streams of clients */
  readonly streams: number;
  /** requests that wait for a person */
  readonly waiting: number;
  /** what one group's clients have sent of bodies that wait for a person */
  readonly aheadBytes: number;
};

export type Shares = {
  readonly seats: Seats;
  /** names being resolved */
  readonly lookups: FairShare;
  readonly limits: LimitKeeper;
  /** room for what clients send ahead of their answers */
  readonly early: HeldBytes;
  /** open HTTP/2 streams of clients */
  readonly streams: FairShare;
  /** requests that wait for a person */
  readonly waiting: FairShare;
  /** room for the beginnings of their bodies */
  readonly ahead: HeldBytes;
  /** sockets in all, those too that are being told that there is no seat for them */
  readonly maxLinks: number;
  /** a new policy is in force; `seats`: of all open connections */
  readonly adoptLimits: (now: Snapshot, seats: Parameters<LimitKeeper['adopt']>[1]) => void;
};

const MAX_CONNECTIONS = 20_000;
/** Beyond them: sockets that are being told so. Further ones are reset. */
const MAX_REFUSED_LINKS = 1_024;
const MAX_LOOKUPS = 256;
const MAX_EARLY_BYTES_OF_GROUP = 32 * 1024 * 1024;
/** Each costs what a connection costs, and more while its upstream does not read. */
const MAX_H2_STREAMS = 8_192;
const MAX_WAITING = 2_000;
const MAX_AHEAD_BYTES_OF_GROUP = 16 * 1024 * 1024;
const CAPS: Caps = {
  connections: MAX_CONNECTIONS,
  lookups: MAX_LOOKUPS,
  earlyBytes: MAX_EARLY_BYTES_OF_GROUP,
  streams: MAX_H2_STREAMS,
  waiting: MAX_WAITING,
  aheadBytes: MAX_AHEAD_BYTES_OF_GROUP,
};

export function createShares(
  options: { readonly store?: StateStore; readonly caps?: Partial<Caps> },
  clock: Clock,
  snapshots: SnapshotHolder,
): Shares {
  const caps = { ...CAPS, ...options.caps };
  const seats = new Seats(
    caps.connections,
    (address) => snapshots.current()?.sources.lookup(address) ?? null,
  );
  const lookups = new FairShare(caps.lookups);
  const streams = new FairShare(caps.streams);
  const waiting = new FairShare(caps.waiting);
  const limits = createLimits({ store: options.store ?? new MemoryStore(clock), clock });
  return {
    seats,
    lookups,
    limits,
    early: new HeldBytes(caps.earlyBytes),
    streams,
    waiting,
    ahead: new HeldBytes(caps.aheadBytes),
    maxLinks: caps.connections + MAX_REFUSED_LINKS,
    adoptLimits: ({ set }, open) => {
      seats.divide(set.groups.size);
      lookups.divide(set.groups.size);
      streams.divide(set.groups.size);
      waiting.divide(set.groups.size);
      limits.adopt(set.groups.values(), open);
    },
  };
}
