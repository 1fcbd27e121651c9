/**
 * The file that is written to now. Appends whole batches or nothing: what a failed write left behind is cut
 * off again. Notices when the file vanished, was replaced, or holds bytes that we did not write. Used by
 * `segments.ts` alone; the file calls are an argument so that tests can make each of them fail.
 */
import * as nodeFs from 'node:fs';
import { dirname } from 'node:path';

/** The calls on the way of a record; `node:fs` has them all. */
export type AuditFs = {
  readonly openSync: (path: string, flags: string, mode?: number) => number;
  readonly writeSync: (fd: number, buffer: Uint8Array, offset: number, length: number) => number;
  readonly ftruncateSync: (fd: number, length: number) => void;
  readonly fstatSync: (fd: number) => FileFacts;
  readonly statSync: (path: string) => FileFacts;
  readonly fdatasync: (fd: number, done: (error: Error | null) => void) => void;
  readonly fdatasyncSync: (fd: number) => void;
  readonly closeSync: (fd: number) => void;
};

type FileFacts = { readonly ino: number; readonly dev: number; readonly size: number };

export const systemAuditFs: AuditFs = nodeFs;

const FILE_MODE = 0o600;

export class Segment {
  readonly path: string;
  readonly day: string;
  /** bytes that are ours and whole */
  size: number;
  /** a failed write could not be cut off: the file must be opened again or left */
  broken = false;
  readonly #fs: AuditFs;
  readonly #fd: number;
  #syncs = 0;
  #closing = false;

  private constructor(fs: AuditFs, at: { fd: number; path: string; day: string; size: number }) {
    this.#fs = fs;
    this.#fd = at.fd;
    this.path = at.path;
    this.day = at.day;
    this.size = at.size;
  }

  /** A new file, 0600. Throws EEXIST when the name is taken. */
  static create(fs: AuditFs, path: string, day: string): Segment {
    const segment = new Segment(fs, { fd: fs.openSync(path, 'ax', FILE_MODE), path, day, size: 0 });
    // Without this a power cut may take the file's name, and with it what `sync` promised.
    const folder = fs.openSync(dirname(path), 'r');
    try {
      fs.fdatasyncSync(folder);
    } finally {
      fs.closeSync(folder);
    }
    return segment;
  }

  /** An existing file, cut to its first `size` bytes. Throws when it is gone or cannot be cut. */
  static reopen(fs: AuditFs, at: { path: string; day: string; size: number }): Segment {
    const before = fs.statSync(at.path);
    const fd = fs.openSync(at.path, 'a', FILE_MODE);
    try {
      const now = fs.fstatSync(fd);
      if (now.ino !== before.ino || now.size < at.size) throw new Error(`${at.path} is not the file it was`);
      if (now.size > at.size) fs.ftruncateSync(fd, at.size);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    return new Segment(fs, { ...at, fd });
  }

  /** Throws the file system's error after cutting off what had been written. */
  append(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length; ) {
        const wrote = this.#fs.writeSync(this.#fd, bytes, done, bytes.length - done);
        if (wrote === 0) throw new Error(`nothing could be written to ${this.path}`);
        done += wrote;
      }
    } catch (error) {
      this.#cutBack();
      throw error;
    }
    this.size += bytes.length;
  }

  /** Brings what was appended so far to the disk. */
  sync(done: (error: Error | null) => void): void {
    this.#syncs += 1;
    this.#fs.fdatasync(this.#fd, (error) => {
      this.#syncs -= 1;
      if (this.#closing && this.#syncs === 0) this.#fs.closeSync(this.#fd);
      done(error);
    });
  }

  /** What happened to the file behind our back, in words; null: nothing. */
  tampered(): string | null {
    if (this.broken) return null;
    let named: FileFacts;
    try {
      named = this.#fs.statSync(this.path);
    } catch {
      // ENOENT and its like: whatever hides the file, records in it cannot be found again.
      return 'the audit file vanished';
    }
    const open = this.#fs.fstatSync(this.#fd);
    if (named.ino !== open.ino || named.dev !== open.dev) return 'the audit file was replaced by another';
    if (open.size > this.size) return `${open.size - this.size} bytes were added by someone else`;
    if (open.size < this.size) return `${this.size - open.size} bytes were cut off by someone else`;
    return null;
  }

  /** On the disk, then closed; throws when it could not be brought to the disk. Only the first call counts. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    try {
      this.#fs.fdatasyncSync(this.#fd);
    } finally {
      // A sync under way still uses the descriptor; its number must not be given to another file yet.
      if (this.#syncs === 0) this.#fs.closeSync(this.#fd);
    }
  }

  #cutBack(): void {
    try {
      this.#fs.ftruncateSync(this.#fd, this.size);
    } catch {
      // The device refuses everything now; the writer opens the file anew before it writes again.
      this.broken = true;
    }
  }
}
