/**
 * What is different about an exchange with a host that keys are bound to: its request's body may be swapped, its
 * response is scrubbed. Hosts without keys never get here. Called by `exchange.ts`.
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Denied } from '../flow/reason.ts';
import type { IdentityBindings } from '../secrets/binding.ts';
import type { HostKeys } from '../secrets/host-keys.ts';
import type { ExchangeJob } from './exchange-job.ts';
import type { RequestLeg } from './request-leg.ts';
import type { ScrubAsk } from './scrubbed-body.ts';
import { SwappedBody } from './swapped-body.ts';
import type { UpstreamSlot } from './upstream-slot.ts';

/** `record` learns which keys were taken out; `exchange` sends what came outside of a read. */
export function scrubFor(
  keys: HostKeys | null,
  record: FlowRecord,
  slot: UpstreamSlot,
  exchange: { decoded(): void },
): ScrubAsk | null {
  if (keys === null) return null;
  return {
    patterns: () => keys.scrubSet(),
    found: (env) => {
      if (!record.scrubbed.includes(env)) record.scrubbed = [...record.scrubbed, env];
    },
    progress: () => exchange.decoded(),
    drain: () => void slot.conn?.socket.resume(),
  };
}

/**
 * Has the leg's body rewritten on its way up. `whole`: one that was held came to its end; `failed`: it must not go on;
 * `progress`: there is something to send outside of a read.
 * @returns why it cannot be searched
 */
export function swapFor(
  job: ExchangeJob,
  up: RequestLeg,
  how: {
    readonly bindings: IdentityBindings;
    readonly progress: () => void;
    readonly failed: (why: Denied) => void;
    readonly whole: () => void;
  },
): Denied | null {
  const { head, target: at, secure, record, side } = job;
  const { bindings, progress, failed, whole } = how;
  const swap = SwappedBody.of(
    head,
    { bindings, at, secure },
    {
      pieces: (pieces, length) => up.pieces(pieces, length),
      done: () => {
        up.bodyDone();
        if (up.whole) whole();
      },
      used: (names) => {
        if (names.length > 0) record.keys = [...new Set([...record.keys, ...names])];
      },
      failed,
      progress,
      drain: () => side.resume(),
    },
  );
  if ('kind' in swap) return swap;
  up.swapBy(swap);
  return null;
}
