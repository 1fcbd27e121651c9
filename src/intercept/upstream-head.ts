/**
 * What goes upstream of a judged request: its head written anew with keys in place of placeholders, and its trailers
 * after a search for both. Called by `exchange.ts`; invariants I5 and I6.
 */
import type { Denied } from '../flow/reason.ts';
import { hostText } from '../flow/target.ts';
import type { IdentityBindings } from '../secrets/binding.ts';
import { type Substituted, substituteHead } from '../secrets/substitute.ts';
import { checkTrailers } from '../secrets/trailers.ts';
import type { Resigning } from '../sigv4/resign.ts';
import { askForWhole } from '../wire/content-coding.ts';
import { type RequestRebuild, rebuildRequestHead } from '../wire/http1-write.ts';
import { keepTrailers } from '../wire/trailers.ts';
import type { ExchangeJob } from './exchange-job.ts';

/** The whole head as latin-1 text, or a reason of `substituteHead`. */
export function upstreamHead(
  job: ExchangeJob,
  how: {
    readonly bindings: IdentityBindings;
    readonly dropOverrides: boolean;
    /** the answer will be searched for keys */
    readonly scrubs: boolean;
    /** the client's signature, which is made anew */
    readonly resigning: Resigning | null;
    /** writes the head where the client asks to switch protocols */
    readonly upgrade: { rebuild(to: RequestRebuild): string } | null;
  },
): Substituted | Denied {
  const { target, secure, same } = job;
  const { bindings, resigning } = how;
  const text = rebuilt(job, how);
  return substituteHead({ head: resigning?.vacate(text) ?? text, bindings, at: target, secure, same });
}

type Rebuild = Pick<Parameters<typeof upstreamHead>[1], 'dropOverrides' | 'scrubs' | 'upgrade'>;

/** As the upstream gets it, but for what is swapped in it. */
function rebuilt(job: ExchangeJob, { dropOverrides, scrubs, upgrade }: Rebuild): string {
  const { head, path, target, secure, protocol } = job;
  const of = { head, path, target, secure, dropOverrides, scrubs };
  const repeats = upgrade === null && protocol === 'http/1.1';
  const before = repeats ? job.rebuilt.find(of) : null;
  if (before !== null) return before;
  // gRPC servers want to hear it; over HTTP/1.1 nobody asks.
  const trailers = protocol === 'h2' && head.special.some(({ name }) => name === 'te');
  const to = { path, host: hostText(target, secure ? 443 : 80), dropOverrides, trailers };
  const text = upgrade?.rebuild(to) ?? rebuildRequestHead(head, to);
  const asked = scrubs ? askForWhole(text) : text;
  if (repeats) job.rebuilt.keep(of, asked);
  return asked;
}

/** Field lines that may pass (mostly none), each with its leading CRLF, or a reason of `checkTrailers`. */
export function upstreamTrailers(lines: string, bindings: IdentityBindings): string | Denied {
  const kept = keepTrailers(lines);
  return kept === '' ? '' : (checkTrailers(kept, bindings) ?? kept);
}
