/**
 * Wrong tokens, on their way into the record and the counters: every one is counted, and of each address the first of a minute
 * is recorded, and the one at which it is sent away. Of all addresses together some a minute: whoever knows no token must
 * not fill the disk. Used by `server.ts`.
 */
import { LRUCache } from 'lru-cache';
import type { OperatorEvent } from '../audit/event.ts';
import type { Clock } from '../base/clock.ts';

/** What a wrong token is told. */
export type Told = 'token_invalid' | 'too_many_failures';

export type StrangerOptions = {
  readonly clock: Clock;
  readonly record: (event: OperatorEvent) => void;
  readonly onStranger: (told: Told) => void;
};

const WINDOW_MS = 60_000;
/** Of all addresses, each minute. */
export const MAX_RECORDED = 10;
const MAX_ADDRESSES = 1000;

/** Takes note of one wrong token from an address. */
export function noteStrangers(opts: StrangerOptions): (client: string, told: Told) => void {
  const { clock, record, onStranger } = opts;
  /** what was recorded of each address in this window */
  const known = new LRUCache<string, Set<Told>>({ max: MAX_ADDRESSES });
  let since = Number.NEGATIVE_INFINITY;
  let recorded = 0;
  return (client, told) => {
    onStranger(told);
    const now = clock.mono();
    if (now - since > WINDOW_MS) {
      since = now;
      recorded = 0;
      known.clear();
    }
    const before = known.get(client) ?? new Set();
    if (before.has(told) || recorded >= MAX_RECORDED) return;
    known.set(client, before.add(told));
    recorded += 1;
    const why = recorded === MAX_RECORDED ? `${told}; others of this minute are counted alone` : told;
    record({
      kind: 'operator',
      action: 'login',
      operator: '(unknown)',
      origin: 'api',
      client,
      group: null,
      subject: null,
      outcome: 'refused',
      why,
      actedAt: clock.now(),
    });
  };
}
