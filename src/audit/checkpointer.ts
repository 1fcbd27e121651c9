/**
 * Keeps `checkpoint.json` up with the chain, and deletes what retention no longer wants once a checkpoint
 * says where the kept part begins. One write at a time. Used by `writer.ts` alone.
 */
import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import type { Head } from './chain.ts';
import {
  type Checkpoint,
  checkpointKeyPath,
  FIRST_CHECKPOINT,
  loadCheckpointKey,
  readCheckpoint,
  writeCheckpoint,
  writeCheckpointSync,
} from './checkpoint.ts';
import { deleteFiles, expiredFiles, listAuditFiles } from './files.ts';
import { firstLink } from './recover.ts';

export class Checkpointer {
  /** what the folder held when it was opened */
  readonly found: Checkpoint | 'missing' | 'not_signed';
  readonly #dir: string;
  readonly #key: KeyObject;
  #want: Checkpoint = FIRST_CHECKPOINT;
  #have: Checkpoint = FIRST_CHECKPOINT;
  #writing: Promise<void> = Promise.resolve();

  private constructor(dir: string, key: KeyObject) {
    this.#dir = dir;
    this.#key = key;
    this.found = readCheckpoint(dir, createPublicKey(key));
  }

  /** Reads the key (made on first use) and the checkpoint of a folder. */
  static open(dir: string, keyPath = checkpointKeyPath(dir)): Checkpointer {
    return new Checkpointer(dir, loadCheckpointKey(keyPath));
  }

  /** From here the trail goes on. Written before the first record: a folder without one was tampered with. */
  begin(at: Checkpoint): void {
    this.#want = at;
    this.#have = at;
    writeCheckpointSync(this.#dir, at, this.#key);
  }

  /** Everything up to `head` is on the disk. */
  durable(head: Head): void {
    if (head.seq > this.#want.head.seq) this.#want = { ...this.#want, head };
  }

  /** Writes the checkpoint when it changed. Rejects with the file system's error. */
  write(): Promise<void> {
    const run = async (): Promise<void> => {
      const want = this.#want;
      if (want === this.#have) return;
      await writeCheckpoint(this.#dir, want, this.#key);
      this.#have = want;
    };
    const done = this.#writing.then(run);
    // The caller hears of a failure; the next write must start all the same.
    this.#writing = done.catch(() => {});
    return done;
  }

  /** Deletes whole days that are older than `retainMs`. The checkpoint tells of it first. */
  async retain(now: number, retainMs: number): Promise<void> {
    const files = listAuditFiles(this.#dir);
    const expired = expiredFiles(files, now, retainMs);
    const oldest = files[expired.length];
    if (expired.length === 0 || oldest === undefined) return;
    const start = firstLink(oldest.path);
    // A file that was just begun holds no record yet: the next one tries again.
    if (start === null) return;
    this.#want = { ...this.#want, start };
    await this.write();
    deleteFiles(expired);
  }
}
