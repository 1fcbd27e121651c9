/**
 * Words of the log that sandboxes give occasion for, each time: as many as tell a person what is wrong, and then how often
 * it happened. Without it the log of one busy sandbox fills the disk that the record is on.
 */
import type { Clock } from './clock.ts';

/** So many lines in so long. */
const LINES = 20;
const SPAN_MS = 10_000;

/** Calls `say` or, beyond the limit, nothing. `more`: calls that said nothing, since the last that did. */
export type Sparing = (say: (more: number) => void) => void;

/** One kind of words. */
export function createSparing(clock: Pick<Clock, 'mono'>): Sparing {
  let began = Number.NEGATIVE_INFINITY;
  let said = 0;
  let more = 0;
  return (say) => {
    const now = clock.mono();
    if (now - began >= SPAN_MS) {
      began = now;
      said = 0;
    }
    if (said >= LINES) {
      more += 1;
      return;
    }
    said += 1;
    const untold = more;
    more = 0;
    say(untold);
  };
}
