/**
 * The placeholders of all identities, so that one in the wrong hands is told from ordinary text. Filled by
 * `bindings.ts` when policies, keys or tokens change.
 */
import { indexPlaceholders, type PlaceholderIndex } from '../secrets/placeholder-index.ts';

/** Placeholders that are recognised as another's; beyond it only their marker gives them away. */
const MAX_KNOWN = 20_000;

export type Known = {
  /** false: there was no room for all of them */
  add(placeholders: readonly string[]): boolean;
  clear(): void;
  /** another number after each `clear` */
  era(): number;
  index(): PlaceholderIndex;
};

/** The index is built again at its first use after a change, so that many changes cost one building. */
export function openKnown(): Known {
  const all = new Set<string>();
  let built: PlaceholderIndex | null = null;
  let era = 0;
  return {
    add: (placeholders) => {
      const added = placeholders.filter((one) => !all.has(one)).slice(0, MAX_KNOWN - all.size);
      for (const one of added) all.add(one);
      if (added.length > 0) built = null;
      return placeholders.every((one) => all.has(one));
    },
    clear: () => {
      all.clear();
      built = null;
      era += 1;
    },
    era: () => era,
    index: () => {
      built ??= indexPlaceholders([...all]);
      return built;
    },
  };
}
