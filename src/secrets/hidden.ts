/**
 * What stands encoded in a request though nothing in it asks for that: no key is put in there, and whoever reads the
 * request at the other end may undo it. Called by `substitute.ts` for heads and messages, by `trailers.ts`, and, for what
 * is written or shown of a request, by `shown.ts` and `front.ts`. Invariants I5 and I6.
 */
import type { IdentityBindings } from './binding.ts';
import { hasCodedMarker } from './coded.ts';
import type { LeakIndex } from './leaks.ts';
import { findMarkers } from './placeholder.ts';
import type { PlaceholderHit } from './placeholder-index.ts';
import type { Escaped } from './spellings.ts';
import { decodedView, endAt, startAt, type View } from './views.ts';

/** `tag`: the placeholder, or null for a marker that belongs to none; `coded`: one in base64; `leak`: a real key */
export type Hidden = { readonly tag: string | null } | 'coded' | 'leak';

export type HiddenAsk = {
  readonly bindings: IdentityBindings;
  /** what was found in the text as it is */
  readonly hits: readonly PlaceholderHit[];
};

/** What a reader of a head or a URL may undo, and what one of JSON may besides. */
const IN_HEADS: readonly Escaped[] = ['percent'];
const IN_MESSAGES: readonly Escaped[] = ['percent', 'json'];
const EVERYWHERE: readonly Escaped[] = ['percent', 'json', 'html'];
/** How often something is undone: URLs stand in URLs, and JSON in JSON. */
const MAX_DEPTH = 2;
/** Escapes of what could have been written as it is; line ends and quotes are no part of a placeholder. */
const NEEDLESS_ESCAPE = /\\(?:u00|\/)/;

/** The first of what is only seen when something is undone; null: all is as it looks. */
export function hiddenInHead(head: string, ask: HiddenAsk): Hidden | null {
  if (hasCodedMarker(head)) return 'coded';
  return head.includes('%') ? hiddenIn(head, ask, { spellings: IN_HEADS, depth: MAX_DEPTH }) : null;
}

/** The same of a text message, which may be JSON. */
export function hiddenInMessage(text: string, ask: HiddenAsk): Hidden | null {
  if (hasCodedMarker(text)) return 'coded';
  const isEscaped = text.includes('%') || NEEDLESS_ESCAPE.test(text);
  return isEscaped ? hiddenIn(text, ask, { spellings: IN_MESSAGES, depth: MAX_DEPTH }) : null;
}

/** Is a real key in there, as it is or escaped: such a text may not be written down. */
export function holdsLeak(text: string, leaks: LeakIndex, depth = MAX_DEPTH): boolean {
  if (leaks.found(text)) return true;
  return depth > 0 && viewsOf(text, EVERYWHERE).some((view) => holdsLeak(view.text, leaks, depth - 1));
}

function hiddenIn(
  text: string,
  { bindings, hits }: HiddenAsk,
  how: { readonly spellings: readonly Escaped[]; readonly depth: number },
): Hidden | null {
  for (const view of viewsOf(text, how.spellings)) {
    if (bindings.leaks.found(view.text)) return 'leak';
    const found = bindings.known.find(view.text);
    const hidden = hiddenInView(view, found, hits);
    if (hidden !== null) return hidden;
    if (how.depth === 1) continue;
    const deeper = hiddenIn(view.text, { bindings, hits: found }, { ...how, depth: how.depth - 1 });
    if (deeper !== null) return deeper;
  }
  return null;
}

/** `hits`: in the text under the view, and `found` in the view itself. */
function hiddenInView(
  view: View,
  found: readonly PlaceholderHit[],
  hits: readonly PlaceholderHit[],
): Hidden | null {
  for (const { start, end, tag } of found) {
    const at = { start: startAt(view, start), end: endAt(view, end) };
    const isPlain = at.end - at.start === end - start;
    if (!isPlain && !hits.some((hit) => hit.start === at.start && hit.end === at.end)) return { tag };
  }
  const isStray = (marker: { start: number; end: number }): boolean =>
    !found.some(({ start, end }) => start <= marker.start && marker.end <= end);
  if (findMarkers(view.text).some(isStray)) return { tag: null };
  return hasCodedMarker(view.text) ? 'coded' : null;
}

function viewsOf(text: string, spellings: readonly Escaped[]): readonly View[] {
  return spellings.flatMap(
    (spelling) => decodedView(spelling, text, { skip: 0, wanted: null, final: true }) ?? [],
  );
}
