/**
 * An exporter with a bound and a count around it: what a collector does not take is dropped and counted, never kept
 * without end and never felt by a request.
 */

/** `ExportResult` of the SDK: 0 for success. */
type Result = { readonly code: number };
type Exporter<T> = {
  export(items: T[], done: (result: Result) => void): void;
  shutdown(): Promise<void>;
  forceFlush?(): Promise<void>;
};

export type Outcome = 'ok' | 'failed' | 'dropped';
export type Count = (outcome: Outcome, items: number) => void;

/** Handed in and not yet exported; what comes beyond it is dropped. Also the queue of the batch processors. */
export const MAX_WAITING = 4096;

export class CountedExporter<T> {
  readonly #inner: Exporter<T>;
  readonly #count: Count;
  #waiting = 0;

  constructor(inner: Exporter<T>, count: Count) {
    this.#inner = inner;
    this.#count = count;
  }

  /** Is there room for one more; what is refused is counted. */
  admit(): boolean {
    if (this.#waiting >= MAX_WAITING) {
      this.#count('dropped', 1);
      return false;
    }
    this.#waiting += 1;
    return true;
  }

  export(items: T[], done: (result: Result) => void): void {
    let over = false;
    const finish = (result: Result): void => {
      if (over) return;
      over = true;
      this.#waiting = Math.max(0, this.#waiting - items.length);
      this.#count(result.code === 0 ? 'ok' : 'failed', items.length);
      done(result);
    };
    try {
      this.#inner.export(items, finish);
    } catch {
      finish({ code: 1 });
    }
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.#inner.forceFlush?.();
  }
}
