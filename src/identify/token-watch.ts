/**
 * Tells when `tokens.json` may have changed: `fs.watch` on its folder for speed, a look at the file each
 * second for certainty (network and overlay file systems lose events). Contract 11: a revocation reaches
 * open flows within 5 s; the file's news reach the store within 1 s.
 */
import { type FSWatcher, watch } from 'node:fs';
import { tokenFileStamp } from './token-file.ts';

const LOOK_EVERY_MS = 1000;

/**
 * Calls `onChange` after a change and `onTick` each second. Returns the stop. Timers and watcher do not keep
 * the process alive.
 */
export function watchTokenFile(opts: { dir: string; onChange: () => void; onTick: () => void }): () => void {
  const { dir } = opts;
  let stamp = tokenFileStamp(dir);
  let watcher: FSWatcher | null = null;

  const look = (): void => {
    const now = tokenFileStamp(dir);
    if (now === stamp) return;
    stamp = now;
    opts.onChange();
  };
  const unwatch = (): void => {
    watcher?.close();
    watcher = null;
  };
  const rewatch = (): void => {
    if (watcher !== null) return;
    try {
      watcher = watch(dir, { persistent: false }, look);
      // The folder went away or the system ran out of watches: the look each second still works.
      watcher.on('error', unwatch);
    } catch {
      watcher = null; // no such folder yet; tried again at the next tick
    }
  };

  rewatch();
  const timer = setInterval(() => {
    rewatch();
    look();
    opts.onTick();
  }, LOOK_EVERY_MS);
  timer.unref();

  return () => {
    clearInterval(timer);
    unwatch();
  };
}
