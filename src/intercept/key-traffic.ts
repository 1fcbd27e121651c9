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
import type { ExchangeDeps, ExchangeJob, Outcome } from './exchange-job.ts';
import type { RequestLeg } from './request-leg.ts';
import type { ScrubAsk } from './scrubbed-body.ts';
import { SwappedBody } from './swapped-body.ts';
import type { UpstreamSlot } from './upstream-slot.ts';

/** What both need of the exchange. */
type Of = {
  readonly deps: ExchangeDeps;
  readonly job: ExchangeJob;
  readonly exchange: {
    /** runs what happened outside of a read, and sends what is ready then */
    apart(step: () => void): void;
    cut(why: Denied, ended: Outcome): void;
  };
};

/** The record learns which keys were taken out. */
export function scrubFor(
  keys: HostKeys | null,
  slot: UpstreamSlot,
  { deps, job, exchange }: Of,
): ScrubAsk | null {
  if (keys === null) return null;
  const { record, identity } = job;
  return {
    patterns: () => keys.scrubSet(),
    found: (env) => {
      if (!record.scrubbed.includes(env)) record.scrubbed = [...record.scrubbed, env];
    },
    apart: (step) => exchange.apart(step),
    drain: () => void slot.conn?.socket.resume(),
    room: new HeldShare(deps.held, identity.group),
  };
}

/**
 * Has the leg's body rewritten on its way up. `whole`: one that was held came to its end.
 * @returns why it cannot be searched
 */
export function swapFor(
  of: Of & { readonly keys: HostKeys; readonly bindings: IdentityBindings },
  up: RequestLeg,
  whole: () => void,
): Denied | null {
  const { deps, job, keys, bindings, exchange } = of;
  const { head, target: at, secure, record, side, identity } = job;
  const ask = { bindings, at, secure, own: keys.placeholders() };
  const swap = new BodySwap(ask, valuesOf(head.text, 'content-type'));
  const room = new HeldShare(deps.held, identity.group);
  const swapped = SwappedBody.of(
    { head, swap, room },
    {
      pieces: (pieces, length) => up.pieces(pieces, length),
      done: () => {
        up.bodyDone();
        if (up.whole) whole();
      },
      used: (names) => {
        if (names.length > 0) record.keys = [...new Set([...record.keys, ...names])];
      },
      failed: (why) => exchange.cut(why, 'refused'),
      apart: (step) => exchange.apart(step),
      drain: () => side.resume(),
    },
  );
  if ('kind' in swapped) return swapped;
  up.swapBy(swapped);
  return null;
}
