/**
 * The record as it grows, for whoever watches: reads what was written since the last look, of all chains below a
 * folder, and keeps the last of it for listeners that come back. Reads only while somebody listens, and a while longer.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { chainFolders, chainsSince, type TailPositions } from './chains.ts';
import { listAuditFiles } from './files.ts';
import { CHUNK_BYTES, NEWLINE } from './lines.ts';
import type { TailPosition } from './read.ts';

export type FeedEntry = {
  /** grows by one; of this run of the feed */
  readonly number: number;
  readonly kind: string;
  /** as it stands in the file */
  readonly line: string;
};

export type FeedOptions = {
  /** the audit folder */
  readonly root: string;
  readonly onError: (error: unknown) => void;
  /** between two looks, milliseconds */
  readonly everyMs?: number;
  /** how many are kept for those who come back */
  readonly keep?: number;
};

const EVERY_MS = 250;
const KEPT_ENTRIES = 1_000;
/** After the last listener has left: one whose connection broke finds everything. */
const LINGER_MS = 60_000;
const KIND = /^\{"kind":"([a-z]+)"/;

export class RecordFeed {
  readonly #opts: FeedOptions;
  readonly #listeners = new Set<(entry: FeedEntry) => void>();
  #kept: FeedEntry[] = [];
  #number = 0;
  #at: TailPositions = new Map();
  #timer: NodeJS.Timeout | null = null;
  /** looks without a listener */
  #alone = 0;

  constructor(opts: FeedOptions) {
    this.#opts = opts;
  }

  /** The number of the newest entry so far. */
  get newest(): number {
    return this.#number;
  }

  /** Calls `fn` with everything from now on. Returns the unsubscribe. */
  listen(fn: (entry: FeedEntry) => void): () => void {
    this.#start();
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  /** What came after `number`; null: not all of it is kept any more. */
  since(number: number): readonly FeedEntry[] | null {
    const oldest = this.#number - this.#kept.length;
    if (number > this.#number || number < oldest) return null;
    return this.#kept.slice(number - oldest);
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#listeners.clear();
  }

  #start(): void {
    this.#alone = 0;
    if (this.#timer !== null) return;
    // What was kept ends before a gap, which has a number of its own.
    this.#kept = [];
    this.#number += 1;
    this.#at = endsOf(this.#opts.root);
    const everyMs = this.#opts.everyMs ?? EVERY_MS;
    this.#timer = setInterval(() => this.#look(everyMs), everyMs).unref();
  }

  #look(everyMs: number): void {
    this.#alone = this.#listeners.size === 0 ? this.#alone + 1 : 0;
    if (this.#alone * everyMs > LINGER_MS) {
      if (this.#timer !== null) clearInterval(this.#timer);
      this.#timer = null;
      return;
    }
    try {
      const { lines, at } = chainsSince(this.#opts.root, this.#at);
      this.#at = at;
      for (const line of lines) this.#tell(line);
    } catch (error) {
      // A folder that is gone for a moment; the next look tries again.
      this.#opts.onError(error);
    }
  }

  #tell(line: string): void {
    this.#number += 1;
    const entry = { number: this.#number, kind: KIND.exec(line)?.[1] ?? 'unknown', line };
    this.#kept.push(entry);
    const keep = this.#opts.keep ?? KEPT_ENTRIES;
    if (this.#kept.length > 2 * keep) this.#kept = this.#kept.slice(-keep);
    for (const listener of this.#listeners) listener(entry);
  }
}

/** Where each chain ends now, at a line's end. */
function endsOf(root: string): TailPositions {
  return new Map(chainFolders(root).map((dir) => [dir, endOf(dir)]));
}

function endOf(dir: string): TailPosition {
  const last = listAuditFiles(dir).at(-1);
  if (last === undefined) return { name: null, offset: 0 };
  const { size } = statSync(last.path);
  const from = Math.max(0, size - CHUNK_BYTES);
  const bytes = Buffer.alloc(size - from);
  const fd = openSync(last.path, 'r');
  try {
    const got = readSync(fd, bytes, 0, bytes.length, from);
    return { name: last.name, offset: from + bytes.subarray(0, got).lastIndexOf(NEWLINE) + 1 };
  } finally {
    closeSync(fd);
  }
}
