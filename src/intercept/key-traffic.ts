/**
 * What is different about an exchange with a host that keys are bound to: its request's body may be swapped, its
 * response is scrubbed. Hosts without keys never get here. Called by `exchange.ts`.
 */
import { HeldShare } from '../base/held-bytes.ts';
import type { Denied } from '../flow/reason.ts';
import type { IdentityBindings } from '../secrets/binding.ts';
import { BodySwap } from '../secrets/body-swap.ts';
import { valuesOf } from '../secrets/body-type.ts';
import type { HostKeys } from '../secrets/host-keys.ts';
import type { ExchangeDeps, ExchangeJob } from './exchange-job.ts';
import type { RequestLeg } from './request-leg.ts';
import type { ScrubAsk } from './scrubbed-body.ts';
import { SwappedBody } from './swapped-body.ts';
import type { UpstreamSlot } from './upstream-slot.ts';

/** The record learns which keys were taken out; `exchange` sends what came outside of a read. */
export function scrubFor(
  keys: HostKeys | null,
  of: { readonly deps: ExchangeDeps; readonly job: ExchangeJob; readonly slot: UpstreamSlot },
  exchange: { decoded(step: () => void): void },
): ScrubAsk | null {
  if (keys === null) return null;
  const { deps, job, slot } = of;
  const { record, identity } = job;
  return {
    patterns: () => keys.scrubSet(),
    found: (env) => {
      if (!record.scrubbed.includes(env)) record.scrubbed = [...record.scrubbed, env];
    },
    apart: (step) => exchange.decoded(step),
    drain: () => void slot.conn?.socket.resume(),
    room: new HeldShare(deps.held, identity.group),
  };
}

/**
 * Has the leg's body rewritten on its way up. `whole`: one that was held came to its end; `failed`: it must not go on;
 * `apart`: runs what happened outside of a read, and sends what is ready then.
 * @returns why it cannot be searched
 */
export function swapFor(
  of: { readonly deps: ExchangeDeps; readonly job: ExchangeJob; readonly up: RequestLeg },
  how: {
    readonly keys: HostKeys;
    readonly bindings: IdentityBindings;
    readonly apart: (step: () => void) => void;
    readonly failed: (why: Denied) => void;
    readonly whole: () => void;
  },
): Denied | null {
  const { deps, job, up } = of;
  const { head, target: at, secure, record, side, identity } = job;
  const { keys, bindings, apart, failed, whole } = how;
  const ask = { bindings, at, secure, own: keys.placeholders() };
  const swapped = SwappedBody.of(
    {
      head,
      swap: new BodySwap(ask, valuesOf(head.text, 'content-type')),
      room: new HeldShare(deps.held, identity.group),
    },
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
      apart,
      drain: () => side.resume(),
    },
  );
  if ('kind' in swapped) return swapped;
  up.swapBy(swapped);
  return null;
}
