/**
 * What stands encoded in a request though nothing in it asks for that: no key is put in there, and whoever reads the
 * request at the other end may undo it. Called by `substitute.ts` for heads and messages, by `trailers.ts`, and, for what
 * is written or shown of a request, by `shown.ts` and `front.ts`. Invariants I5 and I6.
 */
import type { IdentityBindings } from './binding.ts';
import { hasCodedMarker } from './coded.ts';
import type { LeakIndex } from './leaks.ts';
import { findMarkers, hasMarker } from './placeholder.ts';
import type { PlaceholderHit } from './placeholder-index.ts';
import type { Escaped } from './spellings.ts';
import { decodedView, endAt, startAt, undone, type View } from './views.ts';

/** `tag`: the placeholder, or null for a marker that belongs to none; `coded`: one in base64 or hex; `leak`: a real key */
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
/** Characters of a text in which places of placeholders are compared, too, not their number alone: it takes its time. */
const MAX_PRECISE = 65_536;
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
  if (depth === 0) return false;
  return EVERYWHERE.some((spelling) => {
    const plain = undone(spelling, text);
    return plain !== null && holdsLeak(plain, leaks, depth - 1);
  });
}

function hiddenIn(text: string, ask: HiddenAsk, how: How): Hidden | null {
  for (const spelling of how.spellings) {
    const plain = undone(spelling, text);
    const hidden = plain === null ? null : hiddenUnder({ spelling, text, plain }, ask, how);
    if (hidden !== null) return hidden;
  }
  return null;
}

type How = { readonly spellings: readonly Escaped[]; readonly depth: number };

function hiddenUnder(
  { spelling, text, plain }: { spelling: Escaped; text: string; plain: string },
  { bindings, hits }: HiddenAsk,
  how: How,
): Hidden | null {
  if (bindings.leaks.found(plain)) return 'leak';
  if (hasCodedMarker(plain)) return 'coded';
  const found = bindings.known.find(plain);
  const isMore = found.length !== hits.length || markersIn(plain) !== markersIn(text);
  if (isMore || (found.length > 0 && text.length <= MAX_PRECISE)) {
    const view = decodedView(spelling, text, { skip: 0, wanted: null, final: true });
    const hidden = view === null ? null : hiddenInView(view, found, hits);
    if (hidden !== null) return hidden;
  }
  return how.depth === 1
    ? null
    : hiddenIn(plain, { bindings, hits: found }, { ...how, depth: how.depth - 1 });
}

function markersIn(text: string): number {
  return hasMarker(text) ? findMarkers(text).length : 0;
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
  return findMarkers(view.text).some(isStray) ? { tag: null } : null;
}
