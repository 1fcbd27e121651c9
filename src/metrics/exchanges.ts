/**
 * What ends tell of one group: requests, their times, bytes, keys. Which ends are a request: every HTTP
 * request; every connection that was a tunnel or was refused. The connection around intercepted requests is
 * not one, its requests were counted each. A refused one that never got a treat counts as what it asked
 * for: a CONNECT as `tunnel`, a plain request as `plain`, any other as `intercept`.
 */
import type { EndEvent } from '../audit/event.ts';
import type { Reason } from '../flow/reason.ts';
import type { Treat } from '../flow/verdict.ts';
import { PlainHistogram } from './histogram.ts';
import { Tally } from './tally.ts';

/** Seconds. From a cached answer to a model that thinks for minutes and a tunnel that lives for hours. */
const DURATION_BOUNDS: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200,
];

export const STATUS_CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;

const MISUSE_REASONS: readonly Reason[] = [
  'placeholder_wrong_host',
  'placeholder_wrong_place',
  'placeholder_unknown',
  'secret_requires_tls',
  'secret_leak',
];
const MISUSE: ReadonlySet<Reason | null> = new Set(MISUSE_REASONS);

export type TreatCounts = {
  /** by position in STATUS_CLASSES */
  readonly classes: Float64Array;
  readonly duration: PlainHistogram;
};

export class GroupExchanges {
  readonly byTreat = new Map<Treat, TreatCounts>();
  /** first label: key; second: `substituted` or `scrubbed` */
  readonly keys = new Tally();
  /** first label: reason; second is empty */
  readonly misuse = new Tally();
  bytesUp = 0;
  bytesDown = 0;

  constructor() {
    // One leak is what an alert waits for: increase() sees it only where a zero came before.
    for (const reason of MISUSE_REASONS) this.misuse.add(reason, '', 0);
  }

  count(event: EndEvent, treat: Treat): void {
    const counts = this.#of(treat);
    const index = statusIndex(event.status);
    counts.classes[index] = (counts.classes[index] ?? 0) + 1;
    counts.duration.observe(event.ms / 1000);
    this.bytesUp += event.bytesUp;
    this.bytesDown += event.bytesDown;
    if (event.stage !== 'request') return;
    if (event.ended !== 'refused') for (const key of event.keys) this.keys.add(key, 'substituted');
    for (const key of event.scrubbed) this.keys.add(key, 'scrubbed');
    if (MISUSE.has(event.reason)) this.misuse.add(event.reason ?? '', '');
  }

  #of(treat: Treat): TreatCounts {
    let counts = this.byTreat.get(treat);
    if (counts === undefined) {
      counts = {
        classes: new Float64Array(STATUS_CLASSES.length),
        duration: new PlainHistogram(DURATION_BOUNDS),
      };
      this.byTreat.set(treat, counts);
    }
    return counts;
  }
}

/** Ways in on which a request that was not understood came without TLS. */
const IN_THE_CLEAR: ReadonlySet<EndEvent['via']> = new Set(['absolute-form', 'transparent-http', null]);

/** Under which treat an end counts as a request; null: it is not one. */
export function requestTreat(event: EndEvent): Treat | null {
  if (event.stage === 'request') return event.treat ?? (IN_THE_CLEAR.has(event.via) ? 'plain' : 'intercept');
  if (event.treat === 'intercept' && event.ended !== 'refused') return null;
  return event.treat ?? 'tunnel';
}

function statusIndex(status: number): number {
  const index = Math.floor(status / 100);
  return index >= 1 && index <= 5 ? index : 0;
}
