/**
 * Which file the trail writes to: goes on with the last one, begins a new one each UTC day, at a size, or
 * when the old one cannot be trusted. Used by `writer.ts` alone.
 */
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { auditFileName, dayOf } from './files.ts';
import { type AuditFs, Segment, systemAuditFs } from './segment.ts';

export type SegmentsOptions = {
  readonly dir: string;
  /** default: the system's */
  readonly fs: AuditFs | undefined;
  readonly maxBytes: number;
  /** the file to go on with and its whole bytes */
  readonly last: { readonly path: string; readonly day: string; readonly size: number } | null;
  /** a new file was begun */
  readonly onBegun: () => void;
  /** a file that was left could not be brought to the disk */
  readonly onFault: (error: Error) => void;
};

const DAY_MS = 86_400_000;
/** Files that begin at one record's number: more than this means that nothing can be written at all. */
const MAX_COPIES = 100;

export class Segments {
  readonly #opts: SegmentsOptions;
  readonly #fs: AuditFs;
  #now: Segment | null = null;
  #last: SegmentsOptions['last'];
  /** days since the epoch, and their text: computed once a day */
  #dayNumber = -1;
  #day = '';

  constructor(opts: SegmentsOptions) {
    this.#opts = opts;
    this.#fs = opts.fs ?? systemAuditFs;
    this.#last = opts.last;
  }

  /** Appends whole lines. `now`: milliseconds since the epoch; `seq`: number of the first record in `bytes`. */
  append(bytes: Uint8Array, now: number, seq: number): void {
    const dayNumber = Math.floor(now / DAY_MS);
    if (dayNumber !== this.#dayNumber) {
      this.#dayNumber = dayNumber;
      this.#day = dayOf(now);
    }
    this.#ready(seq).append(bytes);
  }

  /** Brings what was appended to the disk; at once when there is no open file. */
  sync(done: (error: Error | null) => void): void {
    if (this.#now === null) done(null);
    else this.#now.sync(done);
  }

  tampered(): string | null {
    const found = this.#now?.tampered() ?? null;
    return found === null ? null : `${basename(this.#now?.path ?? '')}: ${found}`;
  }

  /** Closes the file; the next record begins a new one. */
  leave(): void {
    const segment = this.#now;
    this.#now = null;
    this.#last = null;
    try {
      segment?.close();
    } catch (error) {
      this.#opts.onFault(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #ready(seq: number): Segment {
    if (this.#now?.broken === true) this.#mend(this.#now);
    const current = this.#now ?? this.#goOn();
    if (current !== null && current.day === this.#day && current.size < this.#opts.maxBytes) return current;
    this.leave();
    const begun = this.#begin(seq);
    this.#now = begun;
    this.#opts.onBegun();
    return begun;
  }

  /** The file that an earlier run left, when it is still there. */
  #goOn(): Segment | null {
    const last = this.#last;
    if (last === null || last.day !== this.#day) return null;
    this.#last = null;
    this.#now = Segment.reopen(this.#fs, last);
    return this.#now;
  }

  /** A failed write left bytes that could not be cut off: cut now, or leave the file. */
  #mend(segment: Segment): void {
    this.leave();
    try {
      this.#now = Segment.reopen(this.#fs, segment);
    } catch {
      // The old file stays as it is, torn; the new one that is begun next goes on with the chain.
      this.#now = null;
    }
  }

  #begin(seq: number): Segment {
    mkdirSync(this.#opts.dir, { recursive: true, mode: 0o700 });
    for (let copy = 0; ; copy += 1) {
      const path = join(this.#opts.dir, auditFileName(this.#day, seq, copy));
      try {
        return Segment.create(this.#fs, path, this.#day);
      } catch (error) {
        const taken = error instanceof Error && 'code' in error && error.code === 'EEXIST';
        if (!taken || copy === MAX_COPIES) throw error;
      }
    }
  }
}
