/**
 * Text of a request as a person may see it: names of keys in place of placeholders. Called for what waits for an approval;
 * pure. What holds a real key is not shown at all (invariant I5).
 */
import type { IdentityBindings } from './binding.ts';
import { holdsLeak } from './hidden.ts';

/** A space stands in no request target, so no path can be written that looks like one with a placeholder. */
const FOREIGN = '[a placeholder]';

/** `text` is latin-1; null: it holds a real key. */
export function withKeyNames(text: string, { bindings, known, leaks }: IdentityBindings): string | null {
  if (holdsLeak(text, leaks)) return null;
  let shown = '';
  let from = 0;
  for (const { start, end, tag } of known.find(text)) {
    if (start < from) continue;
    const own = bindings.find(
      ({ placeholder, aliases }) => placeholder === tag || aliases?.includes(tag) === true,
    );
    shown += text.slice(from, start) + (own === undefined ? FOREIGN : `[key ${own.env}]`);
    from = end;
  }
  return shown + text.slice(from);
}
