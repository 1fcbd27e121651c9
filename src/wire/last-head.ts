/**
 * The last head of a connection: peers repeat theirs, and the same text means the same each time. Used by the readers of
 * both directions.
 */

/** Longer heads are parsed each time: each idle connection keeps one. */
const MAX_KEPT_HEAD = 2048;

export class LastHead<Head extends { readonly text: string }> {
  #last: Head | null = null;
  #method = '';

  /** The head of that text; null: it is another one. @param method of the request that it answers */
  of(text: string, method = ''): Head | null {
    const last = this.#last;
    return last !== null && last.text === text && this.#method === method ? last : null;
  }

  keep(head: Head, method = ''): void {
    if (head.text.length > MAX_KEPT_HEAD) return;
    this.#last = head;
    this.#method = method;
  }
}
