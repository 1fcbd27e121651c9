/**
 * Rulings in `approvals.json` of the state folder: a yes with `remember` outlives a restart and is known to every worker
 * at once, because each looks whether the file has changed before it asks a person. Made by `proxy.ts`.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { writeFileDurable } from '../base/durable.ts';
import { isPassing } from '../base/error-code.ts';
import { holdLock } from '../base/file-lock.ts';
import { fileStamp } from '../base/state-file.ts';
import type { Found, Kept, Ruling, Rulings } from './rulings.ts';
import { isLive, joinKept } from './rulings-merge.ts';
import { rulingsSchema } from './rulings-schema.ts';

/** People make them one by one; beyond it each yes is for this once. */
export const MAX_RULINGS = 2_000;
/** Taken back before their end: other replicas may not have heard of it yet. */
export const MAX_FORGOTTEN = 4_000;
export const RULINGS_FILE = 'approvals.json';
/** Another process writes its own at the same moment. */
const LOCK_WAIT_MS = 100;
const NONE: Kept = { rulings: [], forgotten: [] };
/** No stamp of a file. */
const UNREAD = 'unread';

export type RulingsFileOptions = {
  /** the state folder */
  readonly dir: string;
  readonly clock: Clock;
  /** the file is not as we wrote it: nothing in it counts */
  readonly onProblem: (message: string) => void;
};

export class RulingsFile implements Rulings {
  readonly #opts: RulingsFileOptions;
  readonly #file: string;
  #seen = '';
  #damaged = false;
  #kept = NONE;

  constructor(opts: RulingsFileOptions) {
    this.#opts = opts;
    this.#file = path.join(opts.dir, RULINGS_FILE);
  }

  find(
    { key, group, rule }: { readonly key: string; readonly group: string; readonly rule: string },
    told: (found: Found) => void,
  ): void {
    const { rulings } = this.#current();
    const now = this.#opts.clock.now();
    let ruling: Ruling | null = null;
    let coolUntil = 0;
    for (const one of rulings) {
      if (one.key === key && one.until > now) ruling = one;
      if (one.group === group && one.rule === rule) coolUntil = Math.max(coolUntil, one.coolUntil);
    }
    told({ ruling, coolUntil });
  }

  put(ruling: Ruling, told: (failed: Error | null) => void): void {
    told(
      this.#change(({ rulings, forgotten }) => ({
        rulings: [...rulings.filter(({ key }) => key !== ruling.key), ruling],
        forgotten,
      })),
    );
  }

  list(told: (rulings: readonly Ruling[]) => void): void {
    const now = this.#opts.clock.now();
    told(this.#current().rulings.filter(({ until }) => until > now));
  }

  forget(id: string, told: (done: boolean) => void): void {
    const known = this.#current().rulings.find((one) => one.id === id);
    if (known === undefined) return told(false);
    const failed = this.#change(({ rulings, forgotten }) => ({
      rulings: rulings.filter((one) => one.id !== id),
      // So that no other replica brings it back.
      forgotten: [...forgotten, { id, until: Math.max(known.until, known.coolUntil) }].slice(-MAX_FORGOTTEN),
    }));
    return told(failed === null);
  }

  /** Takes over what others have decided. All that holds then, or why it could not be written. */
  merge(theirs: Kept): Kept | Error {
    const caps = { now: this.#opts.clock.now(), maxRulings: MAX_RULINGS, maxForgotten: MAX_FORGOTTEN };
    const now = joinKept(this.#current(), theirs, caps);
    if (this.#damaged) return new Error('approvals.json is damaged');
    const before = joinKept(this.#current(), NONE, caps);
    if (isSame(before, now)) return now;
    return this.#change((kept) => joinKept(kept, theirs, caps)) ?? this.#current();
  }

  #change(make: (kept: Kept) => Kept): Error | null {
    try {
      const release = holdLock(`${this.#file}.lock`, LOCK_WAIT_MS);
      if (release === null) return new Error('approvals.json is being written by another process');
      try {
        const now = this.#opts.clock.now();
        const { rulings, forgotten } = this.#current();
        if (this.#damaged) return new Error('approvals.json is damaged');
        const next = make({
          rulings: rulings.filter((one) => isLive(one, now)),
          forgotten: forgotten.filter(({ until }) => until > now),
        });
        if (next.rulings.length > MAX_RULINGS) return new Error('approvals.json is full');
        writeFileDurable(this.#file, `${JSON.stringify({ version: 1, ...next }, null, 1)}\n`, 0o600);
        return null;
      } finally {
        release();
      }
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  /** As the file stands now. What cannot be read, or is not as we write it, counts for nothing. */
  #current(): Kept {
    const seen = fileStamp(this.#file);
    if (seen === this.#seen) return this.#kept;
    this.#seen = seen;
    this.#damaged = false;
    this.#kept = seen === '' ? NONE : this.#read();
    return this.#kept;
  }

  #read(): Kept {
    try {
      const value: unknown = JSON.parse(readFileSync(this.#file, 'utf8'));
      return rulingsSchema.parse(value);
    } catch (error) {
      this.#damaged = true;
      if (isPassing(error)) {
        // It may be readable in a moment, and be the same file then.
        this.#seen = UNREAD;
        return NONE;
      }
      this.#opts.onProblem(
        `${this.#file} is damaged: no earlier approval counts, and none is kept. Remove it to begin anew.`,
      );
      return NONE;
    }
  }
}

function isSame(one: Kept, two: Kept): boolean {
  const ids = ({ rulings, forgotten }: Kept): string =>
    [...rulings.map(({ id, decision }) => `${id} ${decision}`), ...forgotten.map(({ id }) => id)]
      .sort()
      .join();
  return ids(one) === ids(two);
}
