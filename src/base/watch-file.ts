/**
 * Notices that files changed: within milliseconds by `fs.watch` on their folders, where the system tells, and
 * in any case by looking at them four times a second. The look alone sees renames of folders, network folders
 * and what overlay file systems keep quiet about; events alone would make a rotated key wait for nothing.
 */
import { type BigIntStats, type FSWatcher, stat, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

const POLL_MS = 250;
const YOUNG_MS = 1_000;
/** A write is several events, and a file that was just emptied is about to be filled. */
const SETTLE_MS = 5;
/** Folders with a watch of their own; files elsewhere are only looked at. */
const MAX_FOLDERS = 64;
/** Kubernetes swaps this one, through which the files themselves are links. */
const LINK_NAMES = ['..data'];

export type FileWatch = {
  /** Adds a file; nothing happens if it is watched already. */
  add(path: string): void;
  stop(): void;
};

/**
 * `onChange` is called once per look, however many files changed, and sometimes without need: at the first
 * look at a file and within the second after it was written. Where it returns false (what it read could not be used) it is
 * called at the next look again: a file that could not be opened for a moment is the same when it can. Does not keep the
 * process alive.
 */
export function watchFiles(onChange: () => unknown, pollMs = POLL_MS): FileWatch {
  const seen = new Map<string, string | null>();
  let again = false;
  const look = onceAtATime(async () => {
    const changed = await Promise.all([...seen.keys()].map((path) => differs(seen, path)));
    if ((changed.includes(true) || again) && !stopped) again = onChange() === false;
  });
  const names = new Set(LINK_NAMES);
  const folders = watchFolders(names, look);
  let stopped = false;
  const timer = setInterval(() => {
    folders.mend();
    look();
  }, pollMs);
  timer.unref();
  return {
    add: (path) => {
      if (seen.has(path)) return;
      seen.set(path, null);
      names.add(basename(path));
      folders.add(dirname(path));
    },
    stop: () => {
      stopped = true;
      clearInterval(timer);
      folders.stop();
    },
  };
}

/** A call while the work runs makes it run once more after that. */
function onceAtATime(work: () => Promise<void>): () => void {
  let running = false;
  let again = false;
  const run = async (): Promise<void> => {
    running = true;
    do {
      again = false;
      await work();
    } while (again);
    running = false;
  };
  return () => {
    again = true;
    if (!running) void run();
  };
}

/** Those files and no others, until the stop that is given back. */
export function followFiles(paths: readonly string[], onChange: () => unknown): () => void {
  const files = watchFiles(onChange);
  for (const path of paths) files.add(path);
  return () => files.stop();
}

type FolderWatch = {
  add(dir: string): void;
  /** tries again where there was no folder yet */
  mend(): void;
  stop(): void;
};

/** Calls `onEvent` soon after something happened to a file of one of these names. */
function watchFolders(names: ReadonlySet<string>, onEvent: () => void): FolderWatch {
  const watchers = new Map<string, FSWatcher | null>();
  let timer: NodeJS.Timeout | null = null;
  const settle = (name: string | null): void => {
    // Without a name it may be any file of the folder.
    if (timer !== null || (name !== null && !names.has(name))) return;
    timer = setTimeout(() => {
      timer = null;
      onEvent();
    }, SETTLE_MS).unref();
  };
  const begin = (dir: string): void => {
    try {
      const watcher = watch(dir, { persistent: false }, (_event, name) => settle(name));
      watchers.set(dir, watcher);
      watcher.on('error', () => {
        watcher.close();
        watchers.set(dir, null);
      });
    } catch {
      watchers.set(dir, null); // no such folder yet, or no watches left: the look finds what happens there
    }
  };
  return {
    add: (dir) => {
      if (!watchers.has(dir) && watchers.size < MAX_FOLDERS) begin(dir);
    },
    mend: () => {
      for (const [dir, watcher] of watchers) if (watcher === null) begin(dir);
    },
    stop: () => {
      for (const watcher of watchers.values()) watcher?.close();
      clearTimeout(timer ?? undefined);
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
