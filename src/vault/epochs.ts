/**
 * How often the placeholders of a group were renewed: `incident` raises the number, and every placeholder that was given
 * out before is worth nothing from then on (it is refused like a made-up one). One small file in the state folder.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { holdLock } from '../base/file-lock.ts';
import { fileStamp, textIfThere } from '../base/state-file.ts';

/** In the state folder. */
export const EPOCHS_FILE = 'placeholder.epochs.json';
/** For every group. */
export const ALL_GROUPS = '*';

const LOCK_WAIT_MS = 2_000;
const MAX_BYTES = 1024 * 1024;

export type Epochs = {
  /** 0: never renewed */
  of(group: string): number;
  /** Looks at the file again; true when a number rose. A file that cannot be read, or tells less, changes nothing. */
  look(): boolean;
};

/** A missing file: nothing was renewed. Throws for one that cannot be read: old placeholders would be good again. */
export function openEpochs(file: string): Epochs {
  let seen = fileStamp(file);
  let known = readEpochs(file);
  return {
    of: (group) => (known.get(ALL_GROUPS) ?? 0) + (known.get(group) ?? 0),
    look: () => {
      const now = fileStamp(file);
      if (now === seen) return false;
      let read: ReadonlyMap<string, number>;
      try {
        read = readEpochs(file);
      } catch {
        return false; // looked at again with the next change; `seen` stays
      }
      seen = now;
      const merged = new Map(known);
      for (const [group, epoch] of read) merged.set(group, Math.max(epoch, merged.get(group) ?? 0));
      const rose = [...merged].some(([group, epoch]) => epoch > (known.get(group) ?? 0));
      known = merged;
      return rose;
    },
  };
}

/** Renews the placeholders of a group, or of all. Throws the file system's error, or when another process holds the file. */
export function renewPlaceholders(file: string, group: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const release = holdLock(`${file}.lock`, LOCK_WAIT_MS);
  if (release === null) throw new Error(`another process is writing ${file}; try again`);
  try {
    const known = new Map(readEpochs(file));
    known.set(group, (known.get(group) ?? 0) + 1);
    writeFileDurable(file, `${JSON.stringify(Object.fromEntries(known))}\n`, 0o600);
  } finally {
    release();
  }
}

function readEpochs(file: string): ReadonlyMap<string, number> {
  const text = textIfThere(file, MAX_BYTES);
  if (text === null) return new Map();
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new Error(`${file}: no object`);
  const entries = Object.entries(parsed).map(([group, epoch]: [string, unknown]): [string, number] => {
    if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 0)
      throw new Error(`${file}: no number for ${JSON.stringify(group)}`);
    return [group, epoch];
  });
  return new Map(entries);
}
