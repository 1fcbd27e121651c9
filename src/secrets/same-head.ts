/**
 * The head of a client's last request, and where placeholders stand in it: clients repeat themselves, and whoever looks
 * for the same in the same text finds the same. No key is kept, each is asked for anew. One for each connection;
 * used by `substitute.ts`.
 */
import type { Authority } from '../flow/target.ts';
import type { IdentityBindings } from './binding.ts';
import type { Place } from './edits.ts';

/** All that the outcome of a search depends on. */
type Searched = {
  readonly head: string;
  readonly bindings: IdentityBindings;
  readonly at: Authority;
  readonly secure: boolean;
};

/** Longer heads are searched each time: each idle connection keeps one. */
const MAX_KEPT_HEAD = 4096;

export class SameHead {
  #last: Searched | null = null;
  #known: IdentityBindings['known'] | null = null;
  #leaks: IdentityBindings['leaks'] | null = null;
  #places: readonly Place[] = [];

  /** Null: it is another head, or something else is looked for now. */
  find({ head, bindings, at, secure }: Searched): readonly Place[] | null {
    const last = this.#last;
    if (last === null || last.head !== head || last.bindings !== bindings) return null;
    // The indexes are replaced when keys rotate or are revoked, and when identities come.
    const isSame = this.#known === bindings.known && this.#leaks === bindings.leaks;
    return isSame && last.at === at && last.secure === secure ? this.#places : null;
  }

  /** `places`: all that was found in a head that may pass. */
  keep({ head, bindings, at, secure }: Searched, places: readonly Place[]): void {
    if (head.length > MAX_KEPT_HEAD) return;
    this.#last = { head, bindings, at, secure };
    this.#known = bindings.known;
    this.#leaks = bindings.leaks;
    this.#places = places;
  }
}
