/**
 * What stands percent-encoded in a request head though nothing in it asks for that: no key is put in there, and whoever
 * reads the head at the other end may undo it. Called by `substitute.ts` for heads with a percent sign. Invariants I5, I6.
 */
import type { IdentityBindings } from './binding.ts';
import { findMarkers } from './placeholder.ts';
import type { PlaceholderHit } from './placeholder-index.ts';
import { decodedView, endAt, startAt } from './views.ts';

/**
 * The first placeholder that is only seen when percent-encoding is undone, but for `hits`, which were found as it is.
 * A marker that belongs to none is one, too, with the tag `null`; `leak`: a real key.
 */
export function hiddenIn(
  head: string,
  bindings: IdentityBindings,
  hits: readonly PlaceholderHit[],
): { readonly tag: string | null } | 'leak' | null {
  const view = decodedView('percent', head, { skip: 0, wanted: null, final: true });
  if (view === null) return null;
  const { text } = view;
  if (bindings.leaks.found(text)) return 'leak';
  const found = bindings.known.find(text);
  for (const { start, end, tag } of found) {
    const at = { start: startAt(view, start), end: endAt(view, end) };
    const isPlain = at.end - at.start === end - start;
    if (!isPlain && !hits.some((hit) => hit.start === at.start && hit.end === at.end)) return { tag };
  }
  const isStray = (marker: { start: number; end: number }): boolean =>
    !found.some(({ start, end }) => start <= marker.start && marker.end <= end);
  return findMarkers(text).some(isStray) ? { tag: null } : null;
}
