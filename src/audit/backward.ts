/**
 * Reads one chain from its end, line by line, in bounded memory and without holding the loop: what is newest is found
 * first, however long the chain is. Works beside a live writer. Used by `search.ts`.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { MAX_LINE_BYTES } from './chain.ts';
import type { AuditFile } from './files.ts';
import { NEWLINE } from './lines.ts';

/** Where the reading goes on: before this byte of this file. */
export type Place = { readonly name: string; readonly before: number };

export type BackwardLine = {
  readonly text: string;
  /** before this line */
  readonly place: Place;
};

const BLOCK_BYTES = 65_536;

export class BackwardLines {
  /** oldest first; the last one is read next */
  readonly #files: AuditFile[];
  #handle: FileHandle | null = null;
  #name = '';
  /** what was read of the file and not yet handed out, and where in the file it begins */
  #held = Buffer.alloc(0);
  #from = 0;
  #limit: number | null;
  /** bytes read so far */
  scanned = 0;

  /** `files`: of the chain, oldest first, the last one to be read before byte `before` (null: its end). */
  constructor(files: readonly AuditFile[], before: number | null) {
    this.#files = [...files];
    this.#limit = before;
  }

  /** The next older line; null: there is none. Rejects with the file system's errors. */
  async next(): Promise<BackwardLine | null> {
    for (;;) {
      if (this.#handle === null && !(await this.#openNext())) return null;
      const line = this.#cut();
      if (line !== null) return line;
      if (this.#from === 0 || this.#held.length > MAX_LINE_BYTES + BLOCK_BYTES) await this.close();
      else await this.#readMore();
    }
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }

  async #openNext(): Promise<boolean> {
    const file = this.#files.pop();
    if (file === undefined) return false;
    this.#handle = await open(file.path, 'r');
    const { size } = await this.#handle.stat();
    this.#name = file.name;
    this.#from = Math.min(size, this.#limit ?? size);
    const whole = this.#limit !== null;
    this.#limit = null;
    this.#held = Buffer.alloc(0);
    await this.#readMore();
    // Behind the last newline stands what a live writer has not finished.
    if (!whole) this.#held = this.#held.subarray(0, this.#held.lastIndexOf(NEWLINE) + 1);
    return true;
  }

  /** The last whole line of what is held; null: more must be read. */
  #cut(): BackwardLine | null {
    const { length } = this.#held;
    if (length === 0) return null;
    const end = this.#held[length - 1] === NEWLINE ? length - 1 : length;
    const newline = end === 0 ? -1 : this.#held.lastIndexOf(NEWLINE, end - 1);
    if (newline === -1 && this.#from > 0) return null;
    const begin = newline + 1;
    const text = this.#held.toString('latin1', begin, end);
    this.#held = this.#held.subarray(0, begin);
    return { text, place: { name: this.#name, before: this.#from + begin } };
  }

  async #readMore(): Promise<void> {
    const size = Math.min(BLOCK_BYTES, this.#from);
    const block = Buffer.alloc(size);
    const got = (await this.#handle?.read(block, 0, size, this.#from - size))?.bytesRead ?? 0;
    // A file that shrank under us: `audit verify` says so, here its rest is left out.
    if (got < size) block.fill(NEWLINE, got);
    this.#from -= size;
    this.scanned += size;
    this.#held = Buffer.concat([block, this.#held]);
  }
}
