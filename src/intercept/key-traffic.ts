/**
 * What is different about an exchange with a host that keys are bound to: its request's body may be swapped, its
 * response is scrubbed. Hosts without keys never get here. Called by `exchange.ts`.
 */
import { HeldShare } from '../base/held-bytes.ts';
import { type Denied, isDenied } from '../flow/reason.ts';
import { BodySwap } from '../secrets/body-swap.ts';
import { valuesOf } from '../secrets/body-type.ts';
import type { HostKeys } from '../secrets/host-keys.ts';
import type { ScrubSet } from '../secrets/scrub.ts';
import type { Resigning } from '../sigv4/resign.ts';
import { fieldValue, type ResponseHead } from '../wire/http1-parse.ts';
import type { ExchangeDeps, ExchangeJob, Outcome } from './exchange-job.ts';
import type { ReadyRequest } from './ready-request.ts';
import type { RequestLeg } from './request-leg.ts';
import type { ScrubAsk } from './scrubbed-body.ts';
import { SignedBody } from './signed-body.ts';
import { SwappedBody } from './swapped-body.ts';
import type { UpstreamSlot } from './upstream-slot.ts';

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

/** What all need of the exchange. */
type Of = {
  readonly deps: ExchangeDeps;
  readonly job: ExchangeJob;
  readonly exchange: {
    /** runs what happened outside of a read, and sends what is ready then */
    apart(step: () => void): void;
    cut(why: Denied, ended: Outcome): void;
  };
};

type Rewrite = ReadyRequest & { readonly keys: HostKeys };
/** `whole`: a body that was held came to its end, or the head was signed. */
type Told = Of & { readonly whole: () => void };

/** Null: no key is bound to the host. */
export function scrubFor(keys: HostKeys | null, slot: UpstreamSlot, of: Of): ScrubAsk | null {
  return keys === null ? null : new AnswerKeys(keys, slot, of);
}

/** The keys that must not come back in one answer; the record learns which were taken out. */
class AnswerKeys implements ScrubAsk {
  readonly asIs: ScrubAsk['asIs'];
  readonly room: HeldShare;
  readonly #keys: HostKeys;
  readonly #slot: UpstreamSlot;
  readonly #of: Of;

  constructor(keys: HostKeys, slot: UpstreamSlot, of: Of) {
    this.asIs = keys.onlySets ? isObject : null;
    this.room = new HeldShare(of.deps.held, of.job.identity.group);
    this.#keys = keys;
    this.#slot = slot;
    this.#of = of;
  }

  patterns(): ScrubSet {
    return this.#keys.scrubSet();
  }

  found(env: string): void {
    this.#of.job.record.tookOut(env);
  }

  apart(step: () => void): void {
    this.#of.exchange.apart(step);
  }

  drain(): void {
    this.#slot.conn?.socket.resume();
  }
}

/** An object of S3 is passed on to the byte, for sums and lengths that clients check: its head is scrubbed alone. */
function isObject(head: ResponseHead): boolean {
  return (head.status === 200 || head.status === 206) && fieldValue(head, 'etag') !== null;
}

/**
 * Has the leg's body rewritten on its way up where it need be: then `up.whole` says whether all waits for `whole`.
 * @returns why it cannot be searched, or signed again
 */
export function rewriteFor(ready: Rewrite, up: RequestLeg, told: Told): Denied | null {
  const { keys, resigning } = ready;
  if (resigning !== null) return signFor(ready.head, resigning, up, told);
  return keys.inBody && up.hasBody ? swapFor(ready, up, told) : null;
}

function signFor(head: string, resigning: Resigning, up: RequestLeg, told: Told): Denied | null {
  const { deps, job, exchange, whole } = told;
  const { side, identity } = job;
  const { framing, expectContinue } = job.head;
  const room = new HeldShare(deps.held, identity.group);
  const signed = SignedBody.of(
    { resigning, head, framing, room },
    {
      pieces: (pieces, length) => up.pieces(pieces, length),
      done: () => up.bodyDone(),
      ready: whole,
      failed: (why) => exchange.cut(why, 'refused'),
      apart: (step) => exchange.apart(step),
    },
  );
  if (isDenied(signed)) return signed;
  up.swapBy(signed);
  // The upstream is not asked before the body is there: nobody else would tell the client to send it.
  if (resigning.needsBody && expectContinue) side.write(CONTINUE, 'latin1');
  if (!resigning.needsBody && up.hasBody) side.pause();
  signed.start();
  return null;
}

function swapFor({ keys, bindings }: Rewrite, up: RequestLeg, told: Told): Denied | null {
  const { deps, job, exchange, whole } = told;
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
