/**
 * Notices that files changed, by looking at them four times a second. Plain polling on purpose: it sees
 * renames, Kubernetes' swapped links, network folders and files that do not exist yet, all of which
 * `fs.watch` misses somewhere, and a `stat` costs microseconds.
 */
import { type BigIntStats, stat } from 'node:fs';

const POLL_MS = 250;
const YOUNG_MS = 1_000;

export type FileWatch = {
  /** Adds a file; nothing happens if it is watched already. */
  add(path: string): void;
  stop(): void;
};

/**
 * `onChange` is called once per look, however many files changed, and sometimes without need: at the first
 * look at a file and within the second after it was written. Does not keep the process alive.
 */
export function watchFiles(onChange: () => void, pollMs = POLL_MS): FileWatch {
  const seen = new Map<string, string | null>();
  let looking = false;
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    const changed = await Promise.all([...seen.keys()].map((path) => differs(seen, path)));
    looking = false;
    if (changed.includes(true) && !stopped) onChange();
  };
  let stopped = false;
  const timer = setInterval(() => void look(), pollMs);
  timer.unref();
  return {
    add: (path) => {
      if (seen.has(path)) return;
      seen.set(path, null);
    },
    stop: () => {
      stopped = true;
      clearInterval(timer);
    },
  };
}

/** The first look counts as a change: the file may have been read, and then replaced, before it. */
async function differs(seen: Map<string, string | null>, path: string): Promise<boolean> {
  const now = await signature(path);
  const before = seen.get(path);
  seen.set(path, now);
  return before !== now;
}

function signature(path: string): Promise<string> {
  return new Promise((resolve) => {
    stat(path, { bigint: true }, (error, found: BigIntStats | undefined) => {
      // A missing file is a state like any other: it may appear, or come back.
      resolve(error !== null || found === undefined ? 'missing' : fileSignature(found, Date.now()));
    });
  });
}

/**
 * Two equal signatures mean the same content. File times move in steps of some milliseconds, so a file that
 * was written within the last second may be written again unseen: its signature never repeats.
 */
export function fileSignature(found: BigIntStats, now: number): string {
  const age = now - Number(found.mtimeMs);
  const young = age >= 0 && age < YOUNG_MS ? `.${now}` : '';
  return `${found.dev}.${found.ino}.${found.size}.${found.mtimeNs}.${found.ctimeNs}${young}`;
}
