/**
 * Every placeholder that this installation has given out, searched at once: `substitute.ts` tells by it an
 * identity's own placeholders from others'. Made by `vault/bindings.ts`.
 */
import { base64Forms, hexForms } from './coded.ts';
import { buildNeedles, type Hit, type NeedleIndex } from './needles.ts';
import { hasMarker } from './placeholder.ts';

/** The tag is the placeholder as issued, also where it was found percent-encoded or, without a marker, in base64 or hex. */
export type PlaceholderIndex = NeedleIndex<string>;
export type PlaceholderHit = Hit<string>;

/** Placeholders without a marker that are looked for in base64 and hex as well: five needles each. */
const MAX_CODED = 2_000;

/** The caller caps the list. Percent-encoded spellings (`%3A` for the colon of a bot token) are added here. */
export function indexPlaceholders(placeholders: readonly string[]): PlaceholderIndex {
  const unmarked = placeholders.filter((one) => !hasMarker(one)).slice(0, MAX_CODED);
  return buildNeedles([
    ...unmarked.flatMap((tag) => codedForms(tag).map((bytes) => ({ bytes, tag }))),
    ...placeholders.flatMap((tag) =>
      spellings(tag).map((text) => ({ bytes: Buffer.from(text, 'latin1'), tag })),
    ),
  ]);
}

function codedForms(text: string): readonly Buffer[] {
  const bytes = Buffer.from(text, 'latin1');
  return [...base64Forms(bytes), ...hexForms(bytes)];
}

/** Was it found in base64 or hex, where nothing is swapped. */
export function isCoded(text: string, { start, end, tag }: PlaceholderHit): boolean {
  if (end - start === tag.length) return false;
  return !text.slice(start, end).includes('%');
}

/** Both searched; what both hold is found once. For an identity whose placeholders the shared index has no room for. */
export function joinIndexes(own: PlaceholderIndex, shared: PlaceholderIndex): PlaceholderIndex {
  const find = (text: string): readonly PlaceholderHit[] => {
    const mine = own.find(text);
    const others = shared.find(text).filter((hit) => !mine.some((known) => known.end === hit.end));
    return [...mine, ...others].sort((a, b) => a.end - b.end);
  };
  return {
    size: own.size + shared.size,
    longest: Math.max(own.longest, shared.longest),
    find,
    has: (text) => own.has(text) || shared.has(text),
  };
}

/** How a client may write these characters in a URL: as they are, or percent-encoded in either case. */
export function spellings(text: string): readonly string[] {
  const encoded = percentEncode(text);
  if (encoded === text) return [text];
  return [...new Set([text, encoded, encoded.replace(/%[0-9A-F]{2}/g, (octet) => octet.toLowerCase())])];
}

/** RFC 3986 section 2.3: everything but unreserved characters. Total, unlike `encodeURIComponent`. */
function percentEncode(text: string): string {
  return text.replace(
    /[^A-Za-z0-9\-._~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}
