/**
 * Rulings in `approvals.json` of the state folder: a yes with `remember` outlives a restart and is known to every worker
 * at once, because each looks whether the file has changed before it asks a person. Made by `proxy.ts`.
 */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { writeFileDurable } from '../base/durable.ts';
import { holdLock } from '../base/file-lock.ts';
import type { Found, Ruling, Rulings } from './rulings.ts';
import { rulingsSchema } from './rulings-schema.ts';

/** People make them one by one; beyond it each yes is for this once. */
const MAX_RULINGS = 2_000;
/** Another process writes its own at the same moment. */
const LOCK_WAIT_MS = 100;
const NONE: readonly Ruling[] = [];

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
  #rulings = NONE;

  constructor(opts: RulingsFileOptions) {
    this.#opts = opts;
    this.#file = path.join(opts.dir, 'approvals.json');
  }

  find(
    { key, group, rule }: { readonly key: string; readonly group: string; readonly rule: string },
    told: (found: Found) => void,
  ): void {
    const rulings = this.#current();
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
    told(this.#change((rulings) => [...rulings.filter(({ key }) => key !== ruling.key), ruling]));
  }

  list(told: (rulings: readonly Ruling[]) => void): void {
    const now = this.#opts.clock.now();
    told(this.#current().filter(({ until }) => until > now));
  }

  forget(id: string, told: (done: boolean) => void): void {
    const known = this.#current().some((one) => one.id === id);
    told(known && this.#change((rulings) => rulings.filter((one) => one.id !== id)) === null);
  }

  #change(make: (rulings: readonly Ruling[]) => readonly Ruling[]): Error | null {
    try {
      const release = holdLock(`${this.#file}.lock`, LOCK_WAIT_MS);
      if (release === null) return new Error('approvals.json is being written by another process');
      try {
        const now = this.#opts.clock.now();
        const live = this.#current().filter((one) => one.until > now || one.coolUntil > now);
        if (this.#damaged) return new Error('approvals.json is damaged');
        const rulings = make(live);
        if (rulings.length > MAX_RULINGS) return new Error('approvals.json is full');
        writeFileDurable(this.#file, `${JSON.stringify({ version: 1, rulings }, null, 1)}\n`, 0o600);
        return null;
      } finally {
        release();
      }
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  /** As the file stands now. What cannot be read, or is not as we write it, counts for nothing. */
  #current(): readonly Ruling[] {
    const seen = this.#look();
    if (seen === this.#seen) return this.#rulings;
    this.#seen = seen;
    this.#damaged = false;
    this.#rulings = seen === '' ? NONE : this.#read();
    return this.#rulings;
  }

  /** Changes whenever the file does; empty: there is none. */
  #look(): string {
    try {
      const { ino, size, mtimeNs } = statSync(this.#file, { bigint: true });
      return `${ino} ${size} ${mtimeNs}`;
    } catch {
      return ''; // none yet, or out of reach: what is in it counts for nothing
    }
  }

  #read(): readonly Ruling[] {
    try {
      const value: unknown = JSON.parse(readFileSync(this.#file, 'utf8'));
      return rulingsSchema.parse(value).rulings;
    } catch {
      this.#damaged = true;
      this.#opts.onProblem(
        `${this.#file} is damaged: no earlier approval counts, and none is kept. Remove it to begin anew.`,
      );
      return NONE;
    }
  }
}
