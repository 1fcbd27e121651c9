/** Questions to one worker that wait for their answer: each is settled once, by the answer, its limit, or the worker's end. */

/** More at once means that the worker has stopped answering. */
const MAX_WAITING = 1_000;

export class Pending<T> {
  readonly #waiting = new Map<number, (value: T | null) => void>();
  #last = 0;

  /** `send` is called with the question's id. Resolves with the answer; null: none came within `limitMs`. */
  ask(send: (id: number) => void, limitMs: number): Promise<T | null> {
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve(null);
    this.#last += 1;
    const id = this.#last;
    const { promise, resolve } = Promise.withResolvers<T | null>();
    const limit = setTimeout(() => this.#settle(id, null), limitMs);
    this.#waiting.set(id, (value) => {
      clearTimeout(limit);
      resolve(value);
    });
    send(id);
    return promise;
  }

  answer(id: number, value: T): void {
    this.#settle(id, value);
  }

  /** Nothing will be answered any more. */
  fail(): void {
    for (const id of this.#waiting.keys()) this.#settle(id, null);
  }

  #settle(id: number, value: T | null): void {
    const told = this.#waiting.get(id);
    this.#waiting.delete(id);
    told?.(value);
  }
}
