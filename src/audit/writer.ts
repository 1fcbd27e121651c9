/**
 * The trail: takes events, appends their lines in batches of one event-loop turn, and calls back once the
 * bytes stand in the file (invariant I4: no decision in the file, no byte upstream). A failed write refuses
 * the decisions that waited for it; ends are kept and written first when the disk is back. Made by `proxy.ts`.
 */
import { hash as cryptoHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { AuditError, asError } from './audit-error.ts';
import { Backlog, MAX_KEPT_ENDS, type Pending, type Written } from './backlog.ts';
import { type Head, LineFormer } from './chain.ts';
import { Checkpointer } from './checkpointer.ts';
import type { AuditEvent, DecisionEvent, EndEvent, OperatorEvent } from './event.ts';
import { type FolderLock, lockFolder } from './lock.ts';
import { Notes } from './notes.ts';
import { recover } from './recover.ts';
import { Segments } from './segments.ts';
import type { AuditTrailOptions } from './trail-options.ts';
import { Turns } from './turns.ts';

export type AuditTrail = {
  /** `written(null)`: the record stands in the file; with an error: it does not, and the request is refused. */
  decision(event: DecisionEvent, written: Written): void;
  end(event: EndEvent): void;
  /** What an operator did; kept like an end while the disk refuses. */
  operator(event: OperatorEvent): void;
  /** Did the last write succeed; false once closed */
  healthy(): boolean;
  /** The last record in the file */
  head(): Head;
  /** Writes what waits, signs the last checkpoint, gives the folder free. Never rejects. */
  close(): Promise<void>;
  /** `fn` sees every event once its record stands in the file, in the file's order. */
  onEvent(fn: (event: AuditEvent) => void): void;
};

const MAX_FILE_BYTES = 256 * 1_048_576;
/** While the disk refuses, a try costs no more than so many lines. */
const PROBE_RECORDS = 100;
const SYNC_EVERY_MS = 200;
const TICK_MS = 1000;

/**
 * Opens the folder, mends what a crash left, and goes on with the chain. Throws AuditError `AUDIT_LOCKED`
 * when another process writes there, or the file system's error.
 */
export function openAuditTrail(opts: AuditTrailOptions): AuditTrail {
  mkdirSync(opts.dir, { recursive: true, mode: 0o700 });
  const lock = lockFolder(opts.dir);
  try {
    return new FileTrail(opts, lock);
  } catch (error) {
    lock.release();
    throw error;
  }
}

class FileTrail implements AuditTrail {
  readonly #opts: AuditTrailOptions;
  readonly #lines: LineFormer;
  readonly #lock: FolderLock;
  readonly #segments: Segments;
  readonly #checkpoints: Checkpointer;
  readonly #backlog: Backlog;
  readonly #listeners: ((event: AuditEvent) => void)[] = [];
  readonly #ticker: NodeJS.Timeout;
  #head: Head;
  /** `always`: a batch is on its way to the disk and the next one waits */
  #syncing = false;
  #syncTimer: NodeJS.Timeout | null = null;
  #failing = false;
  readonly #notes = new Notes();
  readonly #turns = new Turns(
    () => this.#backlog.count,
    () => this.#flush(),
  );
  #closing = false;
  #closed: Promise<void> | null = null;
  /** another process took the folder over: nothing more is written */
  #barred: Error | null = null;
  #whenIdle: (() => void) | null = null;

  constructor(opts: AuditTrailOptions, lock: FolderLock) {
    this.#opts = opts;
    this.#lock = lock;
    this.#backlog = new Backlog(opts.clock);
    const hash = opts.hash ?? ((bytes) => cryptoHash('sha256', bytes, 'hex'));
    this.#lines = new LineFormer(hash);
    const signer = Checkpointer.open(opts.dir, opts.keyPath);
    const found = recover({ dir: opts.dir, checkpoint: signer.found, hash, crashed: lock.stale });
    this.#head = found.head;
    for (const note of found.notes) this.#notes.add(note);
    this.#checkpoints = signer;
    signer.begin({ head: found.head, start: found.start });
    this.#segments = new Segments({
      dir: opts.dir,
      fs: opts.fs,
      maxBytes: opts.maxFileBytes ?? MAX_FILE_BYTES,
      last: found.file,
      onBegun: () => this.#retain(),
      onFault: (error) => this.#report(error),
    });
    this.#retain();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS).unref();
    for (const event of found.missingEnds) this.end(event);
  }

  decision(event: DecisionEvent, written: Written): void {
    if (this.#closing) {
      this.#refuse(written, new AuditError('AUDIT_CLOSED', 'the audit trail is closed'));
    } else if (this.#backlog.refuses) {
      this.#refuse(written, new AuditError('AUDIT_BACKLOG', 'the disk does not keep up with the audit'));
    } else {
      this.#backlog.add(event, written);
      this.#schedule();
    }
  }

  readonly operator = (event: OperatorEvent): void => this.end(event);

  end(event: EndEvent | OperatorEvent): void {
    if (this.#closing || this.#backlog.full || (this.#failing && this.#backlog.count >= MAX_KEPT_ENDS)) {
      this.#lose(1);
      return;
    }
    this.#backlog.add(event, null);
    // While the disk refuses, the ticker and the next decision try again: not every single end.
    if (!this.#failing) this.#schedule();
  }

  healthy(): boolean {
    return !this.#failing && !this.#closing;
  }

  head(): Head {
    return this.#head;
  }

  onEvent(fn: (event: AuditEvent) => void): void {
    this.#listeners.push(fn);
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown();
    return this.#closed;
  }

  #schedule(): void {
    if (!this.#syncing) this.#turns.schedule();
  }

  /** One write. What its callbacks hand in waits for the next turn, so that sockets get theirs. */
  #flush(): void {
    if (this.#syncing) return;
    const batch = this.#backlog.take(this.#failing ? PROBE_RECORDS : undefined);
    if (batch.length > 0 && this.#append(batch)) {
      if (this.#opts.sync === 'always') this.#syncThenDeliver(batch);
      else this.#deliver(batch);
      if (this.#backlog.count > 0) this.#schedule();
    }
    if (!this.#syncing && (this.#failing || this.#backlog.count === 0)) this.#settleIdle();
  }

  /** False: nothing of the batch stands in the file, and its decisions were refused. */
  #append(batch: readonly Pending[]): boolean {
    try {
      if (this.#barred !== null) throw this.#barred;
      const { bytes, head } = this.#lines.form(batch, this.#head, this.#notes.text());
      this.#segments.append(bytes, this.#opts.clock.now(), this.#head.seq + 1);
      this.#head = head;
    } catch (error) {
      this.#fail(batch, asError(error));
      return false;
    }
    this.#notes.clear();
    this.#failing = false;
    if (this.#opts.sync === 'batch') this.#syncSoon();
    return true;
  }

  #syncThenDeliver(batch: readonly Pending[]): void {
    const head = this.#head;
    this.#syncing = true;
    this.#segments.sync((error) => {
      this.#syncing = false;
      if (error === null) {
        this.#checkpoints.durable(head);
        this.#deliver(batch);
      } else {
        this.#distrustDisk(error);
        // The lines stand in the file, but nobody may rely on them: ends count, decisions do not.
        this.#deliver(batch.filter((record) => record.written === null));
        this.#backlog.refuse(batch, error);
      }
      this.#flush();
    });
  }

  #syncSoon(): void {
    this.#syncTimer ??= setTimeout(() => {
      const head = this.#head;
      this.#segments.sync((error) => {
        this.#syncTimer = null;
        if (error !== null) this.#distrustDisk(error);
        else this.#checkpoints.durable(head);
        if (this.#head.seq > head.seq && !this.#closing) this.#syncSoon();
      });
    }, SYNC_EVERY_MS).unref();
  }

  /** After a failed fdatasync the kernel has dropped what it could not write: that file is left. */
  #distrustDisk(error: Error): void {
    this.#failing = true;
    this.#notes.add('the disk failed: records before this one may be missing');
    this.#segments.leave();
    this.#report(error);
  }

  #deliver(batch: readonly Pending[]): void {
    this.#backlog.settle(batch, this.#listeners);
  }

  #fail(batch: readonly Pending[], error: Error): void {
    this.#failing = true;
    this.#report(error);
    this.#lose(this.#backlog.putBack(batch, error));
  }

  #refuse(written: Written, error: Error): void {
    this.#report(error);
    queueMicrotask(() => written(error));
  }

  #lose(ends: number): void {
    this.#notes.lost(ends);
    for (let i = 0; i < ends; i += 1) this.#report(new AuditError('AUDIT_LOST', 'an end record was lost'));
  }

  #tick(): void {
    try {
      // Before the heartbeat, which throws where the folder is no folder any more: the open file must be left then.
      const tampered = this.#segments.tampered();
      if (tampered !== null) {
        this.#notes.add(tampered);
        this.#segments.leave();
        this.#report(new AuditError('AUDIT_TAMPERED', tampered));
      }
      this.#lock.beat();
      if (this.#failing && this.#backlog.count === 0) this.#probe();
    } catch (error) {
      this.#failing = true;
      if (error instanceof AuditError) this.#barred = error;
      this.#report(asError(error));
      return;
    }
    if (this.#backlog.count > 0) this.#flush();
    this.#checkpoints.write().catch((error: unknown) => this.#report(asError(error)));
  }

  /** Nothing waits to be written, so only opening can tell; a proxy that is not ready gets no decisions. */
  #probe(): void {
    this.#segments.append(Buffer.alloc(0), this.#opts.clock.now(), this.#head.seq + 1);
    this.#failing = false;
  }

  #retain(): void {
    const { retainMs, clock } = this.#opts;
    if (retainMs === undefined) return;
    this.#checkpoints.retain(clock.now(), retainMs).catch((error: unknown) => this.#report(asError(error)));
  }

  async #shutDown(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#ticker);
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer);
    const idle = new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    this.#flush();
    await idle;
    this.#lose(this.#backlog.take().length);
    try {
      this.#segments.leave();
      this.#checkpoints.durable(this.#head);
      await this.#checkpoints.write();
      this.#lock.release();
    } catch (error) {
      this.#report(asError(error));
    }
  }

  #settleIdle(): void {
    this.#whenIdle?.();
    this.#whenIdle = null;
  }

  #report(error: Error): void {
    this.#opts.onFailure?.(error);
  }
}
