/**
 * Does a worker still answer. One that hangs keeps its part of the connections and does nothing for them, so it is to be
 * replaced like a dead one. Used by `seat.ts`.
 */

/** Long, and twice: a worker that is merely flooded must not be killed for it. */
const LOOK_EVERY_MS = 10_000;
/** Looks in a row without an answer. */
const MAX_SILENT = 2;

export type SilenceOptions = {
  /** Did it answer within `limitMs`. Never rejects. */
  readonly ask: (limitMs: number) => Promise<boolean>;
  /** It does not answer any more. Called once; nothing is asked after it. */
  readonly onSilent: () => void;
  /** between two looks, and how long an answer may take; milliseconds */
  readonly everyMs?: number | undefined;
};

/** Returns the stop. */
export function watchForSilence(opts: SilenceOptions): () => void {
  const { ask, onSilent, everyMs = LOOK_EVERY_MS } = opts;
  let silent = 0;
  let stopped = false;
  const look = async (): Promise<void> => {
    const answered = await ask(everyMs);
    if (stopped) return;
    silent = answered ? 0 : silent + 1;
    if (silent >= MAX_SILENT) return onSilent();
    next = setTimeout(() => void look(), everyMs).unref();
  };
  let next = setTimeout(() => void look(), everyMs).unref();
  return () => {
    stopped = true;
    clearTimeout(next);
  };
}
