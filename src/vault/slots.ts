/**
 * Few fetches at once, each with a time limit that begins when its turn comes: a source that hangs takes one slot
 * for so long and no longer. Used by `cached.ts`.
 */
import { SecretSourceError } from './source.ts';

/** Fetches that may wait for their turn. */
const MAX_WAITING = 1024;

export type Slots = {
  /** Rejects with `timeout` at the limit, also when the work does not heed its signal. */
  run<T>(
    work: (signal: AbortSignal) => Promise<T>,
    how: { readonly signal: AbortSignal; readonly limitMs: number },
  ): Promise<T>;
};

export function createSlots(atOnce: number): Slots {
  let running = 0;
  const waiting: (() => void)[] = [];
  const enter = async (): Promise<void> => {
    if (running >= atOnce) {
      if (waiting.length >= MAX_WAITING) throw new SecretSourceError('full', 'too many sources wait');
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push(resolve);
      // The slot is handed over by the one who leaves: the count stays.
      return promise;
    }
    running += 1;
    return undefined;
  };
  const leave = (): void => {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  };
  return {
    run: async (work, { signal, limitMs }) => {
      await enter();
      try {
        return await within(work, signal, limitMs);
      } finally {
        leave();
      }
    },
  };
}

async function within<T>(
  work: (signal: AbortSignal) => Promise<T>,
  outer: AbortSignal,
  limitMs: number,
): Promise<T> {
  const abort = new AbortController();
  const { promise: over, reject } = Promise.withResolvers<never>();
  // Handled here, too: nobody listens any more when the work ended first.
  over.catch(() => {});
  const end = (code: 'timeout' | 'unreadable', message: string): void => {
    reject(new SecretSourceError(code, message));
    abort.abort();
  };
  const stop = (): void => end('unreadable', 'it was stopped');
  const timer = setTimeout(() => end('timeout', 'it took too long'), limitMs);
  timer.unref();
  outer.addEventListener('abort', stop, { once: true });
  try {
    if (outer.aborted) stop();
    return await Promise.race([over, ...(outer.aborted ? [] : [work(abort.signal)])]);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener('abort', stop);
  }
}
