/**
 * When each key of the vault was last put into a request, for `vault list`. Kept beside the vault file and
 * outside its MAC: it changes all the time and decides nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { holdLock } from '../base/file-lock.ts';

const FLUSH_MS = 2_000;
/** Names remembered: as many as a vault has entries. */
const MAX_NAMES = 4096;

export type Usage = {
  note(name: string, at: number): void;
  /** milliseconds since the epoch, by name, from the file and what is not written yet */
  read(): ReadonlyMap<string, number>;
};

export function openUsage(dir: string): Usage {
  const path = join(dir, 'vault-used.json');
  const fresh = new Map<string, number>();
  let waiting = false;
  const flush = (): void => {
    waiting = false;
    try {
      // Not waited for: another process writes its own now, and ours follow.
      const release = holdLock(`${path}.lock`, 0);
      if (release === null) return later();
      try {
        const all = new Map(readUsage(path));
        for (const [name, at] of fresh) all.set(name, Math.max(at, all.get(name) ?? 0));
        writeFileDurable(path, `${JSON.stringify(Object.fromEntries(all))}\n`, 0o600);
      } finally {
        release();
      }
      fresh.clear();
    } catch {
      // A full disk must not stop requests for a convenience; the next use tries again.
    }
  };
  const later = (): void => {
    if (waiting) return;
    waiting = true;
    setTimeout(flush, FLUSH_MS).unref();
  };
  return {
    note: (name, at) => {
      if (fresh.size >= MAX_NAMES && !fresh.has(name)) return;
      fresh.set(name, at);
      later();
    },
    read: () => new Map([...readUsage(path), ...fresh]),
  };
}

function readUsage(path: string): ReadonlyMap<string, number> {
  try {
    const json: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof json !== 'object' || json === null) return new Map();
    return new Map(
      Object.entries(json)
        .slice(0, MAX_NAMES)
        .filter((pair): pair is [string, number] => Number.isSafeInteger(pair[1])),
    );
  } catch {
    // Missing before the first use; damaged is the same as missing for what is only shown.
    return new Map();
  }
}
