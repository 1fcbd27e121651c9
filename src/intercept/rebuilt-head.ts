/**
 * The last head of a client's connection as it was written anew, before keys were put in: clients repeat themselves, and
 * what the reader knows again as one head (`wire/last-head.ts`) becomes the same one again. Used by `upstream-head.ts`.
 */
import type { Target } from '../flow/target.ts';
import type { RequestHead } from '../wire/http1-parse.ts';

/** All that the text depends on, where there is no upgrade and no signature. */
export type RebuiltOf = {
  readonly head: RequestHead;
  readonly path: string;
  readonly target: Target;
  readonly secure: boolean;
  readonly dropOverrides: boolean;
  readonly scrubs: boolean;
};

/** Longer ones are written each time: each idle connection keeps one. */
const MAX_KEPT = 4096;

export class RebuiltHead {
  #last: RebuiltOf | null = null;
  #text = '';

  /** Null: it is another request, or its answer is read otherwise now. */
  find({ head, path, target, secure, dropOverrides, scrubs }: RebuiltOf): string | null {
    const last = this.#last;
    if (last === null || last.head !== head || last.target !== target || last.path !== path) return null;
    const isSame = last.secure === secure && last.dropOverrides === dropOverrides && last.scrubs === scrubs;
    return isSame ? this.#text : null;
  }

  keep(of: RebuiltOf, text: string): void {
    if (text.length > MAX_KEPT) return;
    this.#last = of;
    this.#text = text;
  }
}
