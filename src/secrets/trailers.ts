/**
 * Looks at a request's trailer fields before they go upstream. No place of a key is a trailer, so nothing is ever
 * swapped there: a placeholder in one is misuse, a real key a leak. Called by `intercept/upstream-head.ts`.
 */
import { type Denied, denied } from '../flow/reason.ts';
import type { IdentityBindings } from './binding.ts';
import { hiddenInHead } from './hidden.ts';
import { hasMarker } from './placeholder.ts';

/** @returns `secret_leak`, `placeholder_wrong_place`, or null where the lines (latin-1) may pass */
export function checkTrailers(lines: string, bindings: IdentityBindings): Denied | null {
  const hits = bindings.known.find(lines);
  const hidden = hiddenInHead(lines, { bindings, hits });
  if (hidden === 'leak' || bindings.leaks.found(lines))
    return denied('secret_leak', 'A trailer field holds a real key.');
  if (hidden === null && hits.length === 0 && !hasMarker(lines)) return null;
  return denied(
    'placeholder_wrong_place',
    'A placeholder stands in a trailer field, where it is not swapped.',
  );
}
