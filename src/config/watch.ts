/**
 * Tells when a folder of files has changed: `fs.watch` on the folders (never on the files, which editors and
 * Kubernetes replace), debounced, and a slow poll behind it for file systems that report nothing. The policy
 * reload hangs on it. Never throws: a folder that is gone is polled until it is back.
 */
import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { errorCode } from '../base/error-code.ts';

export type WatchOptions = {
  /** quiet time before the change is told */
  readonly debounceMs?: number;
  /** how often the folder is compared without any event */
  readonly pollMs?: number;
};

const DEFAULT_DEBOUNCE_MS = 200;
const DEFAULT_POLL_MS = 2_000;
/** A folder that changes all the time is told of at least this often. */
const MAX_WAIT_MS = 2_000;
const MAX_FOLDERS = 64;

/**
 * Calls `onChange` after anything in the folder or its sub-folders changed. Returns the stop function. The
 * timers do not keep the process alive.
 */
export function watchFolder(dir: string, onChange: () => void, options: WatchOptions = {}): () => void {
  const { debounceMs = DEFAULT_DEBOUNCE_MS, pollMs = DEFAULT_POLL_MS } = options;
  const watchers = new Map<string, FSWatcher>();
  let told = fingerprint(dir);
  let timer: NodeJS.Timeout | undefined;
  let firstEvent = 0;

  const tell = (): void => {
    timer = undefined;
    watchAll();
    const now = fingerprint(dir);
    if (now === told) return;
    told = now;
    onChange();
  };
  const noticed = (): void => {
    const now = performance.now();
    if (timer === undefined) firstEvent = now;
    else clearTimeout(timer);
    const left = Math.max(0, firstEvent + MAX_WAIT_MS - now);
    timer = setTimeout(tell, Math.min(debounceMs, left)).unref();
  };
  const watchAll = (): void => {
    const wanted = new Set(folders(dir));
    for (const [path, watcher] of watchers) {
      if (wanted.has(path)) continue;
      watcher.close();
      watchers.delete(path);
    }
    for (const path of wanted) {
      if (watchers.has(path)) continue;
      const watcher = open(path, noticed, () => watchers.delete(path));
      if (watcher !== null) watchers.set(path, watcher);
    }
  };

  watchAll();
  const poll = setInterval(() => {
    watchAll();
    if (timer === undefined && fingerprint(dir) !== told) noticed();
  }, pollMs).unref();
  return () => {
    clearInterval(poll);
    clearTimeout(timer);
    for (const watcher of watchers.values()) watcher.close();
    watchers.clear();
  };
}

function open(path: string, noticed: () => void, lost: () => void): FSWatcher | null {
  try {
    const watcher = watch(path, { persistent: false }, noticed);
    watcher.on('error', () => {
      watcher.close();
      lost();
    });
    return watcher;
  } catch {
    return null; // not there, or no watches left: the poll still sees changes
  }
}

function folders(dir: string): readonly string[] {
  const below = entries(dir).filter((name) => !name.startsWith('.') && name !== 'schema');
  const found = below.map((name) => join(dir, name)).filter(isFolder);
  return [dir, ...found].slice(0, MAX_FOLDERS);
}

/**
 * Names, sizes, inodes and times of everything in the folder and one level below; links are followed. Hidden names are
 * left out: nothing is read from them by that name, and editors write theirs all the time.
 */
function fingerprint(dir: string): string {
  const lines: string[] = [];
  for (const folder of folders(dir)) {
    for (const name of entries(folder)) {
      if (!name.startsWith('.')) lines.push(`${folder}/${name}\0${stateOf(join(folder, name))}`);
    }
  }
  return lines.join('\n');
}

/** What cannot be looked at has a state as well: the policy is read again when that changes. */
function stateOf(path: string): string {
  try {
    const stat = statSync(path, { bigint: true });
    return stat.isDirectory() ? 'folder' : `${stat.ino}\0${stat.size}\0${stat.mtimeNs}\0${stat.ctimeNs}`;
  } catch (error) {
    return errorCode(error);
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch {
    return false; // a loop of links or no permission: nothing to watch there
  }
}

function entries(dir: string): readonly string[] {
  try {
    return readdirSync(dir).sort();
  } catch {
    return []; // the folder is away for a moment, as during a swap of links
  }
}
