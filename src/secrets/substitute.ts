/**
 * Puts real keys where an identity's placeholders stand in a request head, or refuses the request. Called by
 * `intercept/upstream-head.ts` for every request, just before its head is written upstream; a head without
 * placeholders is the common case and must stay cheap. One left-to-right pass over the input: what was put
 * in is never searched again. Serves invariants I5 and I6; contract section 4.
 */
import { type Denied, denied } from '../flow/reason.ts';
import { type Authority, authorityText } from '../flow/target.ts';
import { type BasicValue, encodeLike, findBasic } from './basic.ts';
import type { Binding, IdentityBindings } from './binding.ts';
import { apply, disjoint, type Edit, fill, NOTHING_USED, namesOf, type Place } from './edits.ts';
import { covers, type Spot, spotOf } from './head.ts';
import { type Hidden, hiddenInHead, hiddenInMessage } from './hidden.ts';
import { hasMarker } from './placeholder.ts';
import { isCoded, type PlaceholderHit } from './placeholder-index.ts';
import type { SameHead } from './same-head.ts';

/** Whose keys, and where they would go. */
export type SwapAsk = {
  readonly bindings: IdentityBindings;
  readonly at: Authority;
  /** is the upstream connection TLS that was verified */
  readonly secure: boolean;
};

export type SubstituteAsk = SwapAsk & {
  /** rebuilt request head, latin-1, the empty line at its end included */
  readonly head: string;
  /** of the client's connection */
  readonly same?: SameHead | undefined;
};

export type Substituted = {
  readonly kind: 'ok';
  readonly head: string;
  /** names of the variables whose keys were put in, each once */
  readonly used: readonly string[];
};

/** A short placeholder for a long value could otherwise blow a head up; characters. */
export const MAX_SUBSTITUTED_HEAD = 262_144;

const NO_PLACES: readonly Place[] = [];

/**
 * Refuses with `secret_leak`, `placeholder_unknown`, `placeholder_wrong_host`, `placeholder_wrong_place`,
 * `secret_requires_tls`, `secret_unavailable` or, past `MAX_SUBSTITUTED_HEAD`, `header_too_large`.
 * The first placeholder at fault decides; a leak goes before all. Never throws, whatever the head.
 */
export function substituteHead(ask: SubstituteAsk): Substituted | Denied {
  const { head, bindings, same } = ask;
  const before = same?.find(ask) ?? null;
  if (before !== null) return fillAll(head, before);
  const basics = findBasic(head);
  if (bindings.leaks.found(head) || basics.some((basic) => bindings.leaks.found(basic.text))) return leak();
  const bare = basics.length === 0 ? head : withoutBasics(head, basics);
  const hits = bindings.known.find(bare);
  const hidden = hiddenInHead(bare, { bindings, hits });
  if (hidden !== null) return refusalOf(ask, hidden);
  if (hits.length === 0 && basics.length === 0 && !hasMarker(head)) {
    same?.keep(ask, NO_PLACES);
    return { kind: 'ok', head, used: NOTHING_USED };
  }
  return substituteFound(ask, hits, basics);
}

export type SubstituteMessageAsk = SwapAsk & {
  /** one whole message, latin-1: one character per byte */
  readonly text: string;
};

export type SubstitutedMessage = {
  readonly kind: 'ok';
  readonly text: string;
  readonly used: readonly string[];
};

/** Characters that the keys of one message may take. */
export const MAX_SUBSTITUTED_KEYS = 1_048_576;
/** Placeholders in one message: each costs some microseconds, and whoever else is served waits for them. */
export const MAX_MESSAGE_HITS = 4_096;

/**
 * The same for one text message of a WebSocket: a placeholder is swapped wherever it stands in it, if its key's
 * places hold `websocket`. Refuses with the reasons of `substituteHead`; past `MAX_SUBSTITUTED_KEYS` or
 * `MAX_MESSAGE_HITS` with `body_too_large`.
 */
export function substituteMessage(ask: SubstituteMessageAsk): SubstitutedMessage | Denied {
  const { text, bindings } = ask;
  if (bindings.leaks.found(text)) return leak();
  const hits = bindings.known.find(text);
  const hidden = hiddenInMessage(text, { bindings, hits });
  if (hidden !== null) return refusalOf(ask, hidden);
  if (hits.length === 0 && !hasMarker(text)) return { kind: 'ok', text, used: NOTHING_USED };
  if (hits.length > MAX_MESSAGE_HITS)
    return denied('body_too_large', 'The message holds too many placeholders.');
  const found = editsOf(ask, text, hits, ({ start, end, tag }) => ({
    kind: 'websocket',
    encoded: text.slice(start, end) !== tag,
  }));
  if ('kind' in found) return found;
  const edits = disjoint(found.edits);
  const keys = edits.reduce((sum, edit) => sum + edit.text.length, 0);
  if (keys > MAX_SUBSTITUTED_KEYS) return denied('body_too_large', 'The message with its keys is too large.');
  return { kind: 'ok', text: apply(text, edits), used: namesOf(edits) };
}

function substituteFound(
  ask: SubstituteAsk,
  hits: readonly PlaceholderHit[],
  basics: readonly BasicValue[],
): Substituted | Denied {
  const plain = editsOf(ask, ask.head, hits, (hit) => spotOf(ask.head, hit.start, hit.end));
  if ('kind' in plain) return plain;
  const inner: Edit[] = [];
  for (const basic of basics) {
    const edit = editOfBasic(ask, basic);
    if (edit !== null && 'kind' in edit) return edit;
    if (edit !== null) inner.push(edit);
  }
  // What stands in Basic credentials is looked for in the text that they encode.
  if (basics.length === 0) ask.same?.keep(ask, disjoint(plain.places));
  return finished(ask.head, inner.length === 0 ? plain.edits : [...plain.edits, ...inner]);
}

/** The same head as before, with the keys of now. */
function fillAll(head: string, places: readonly Place[]): Substituted | Denied {
  const edits: Edit[] = [];
  for (const place of places) {
    const edit = fill(place);
    if ('kind' in edit) return edit;
    edits.push(edit);
  }
  return finished(head, edits);
}

function finished(text: string, edits: readonly Edit[]): Substituted | Denied {
  const kept = disjoint(edits);
  const head = apply(text, kept);
  if (head.length > MAX_SUBSTITUTED_HEAD)
    return denied('header_too_large', 'The head with its keys is too large.');
  return { kind: 'ok', head, used: namesOf(kept) };
}

function editOfBasic(ask: SubstituteAsk, basic: BasicValue): Edit | Denied | null {
  const written = ask.head.slice(basic.start, basic.end);
  const hits = ask.bindings.known.find(basic.text);
  if (hits.length === 0) {
    // Nothing was encoded: the text itself is a placeholder.
    const bare = ask.bindings.known.find(written).find((hit) => !isCoded(written, hit));
    if (bare !== undefined) return unfit(ask, bare.tag);
  }
  const hidden = hiddenInHead(basic.text, { bindings: ask.bindings, hits });
  if (hidden !== null) return refusalOf(ask, hidden);
  if (!basic.exact) return hits.length > 0 || hasMarker(basic.text) ? unfit(ask, hits[0]?.tag ?? null) : null;
  const found = editsOf(ask, basic.text, hits, () => BASIC);
  if ('kind' in found) return found;
  const { edits } = found;
  if (edits.length === 0) return null;
  const text = encodeLike(written, apply(basic.text, disjoint(edits)));
  return { start: basic.start, end: basic.end, text, used: edits.flatMap((edit) => edit.used) };
}

const BASIC: Spot = { kind: 'basic' };
const NOWHERE: Spot = { kind: 'none' };

/** With spaces in place of what is decoded, swapped and encoded again: everything else keeps its place. */
function withoutBasics(head: string, basics: readonly BasicValue[]): string {
  let bare = '';
  let done = 0;
  for (const { start, end, exact } of basics) {
    if (!exact) continue;
    bare += head.slice(done, start) + ' '.repeat(end - start);
    done = end;
  }
  return bare + head.slice(done);
}

function editsOf(
  ask: SwapAsk,
  text: string,
  hits: readonly PlaceholderHit[],
  spotFor: (hit: PlaceholderHit) => Spot,
): { readonly places: readonly Place[]; readonly edits: readonly Edit[] } | Denied {
  if (strayMarker(text, hits)) return unknown();
  const places: Place[] = [];
  const edits: Edit[] = [];
  for (const hit of hits) {
    const place = placeOf(ask, hit, isCoded(text, hit) ? NOWHERE : spotFor(hit));
    if ('kind' in place) return place;
    const edit = fill(place);
    if ('kind' in edit) return edit;
    places.push(place);
    edits.push(edit);
  }
  return { places, edits };
}

/** A marker outside every known placeholder: made up, or issued by another installation or in another time. */
function strayMarker(text: string, hits: readonly PlaceholderHit[]): boolean {
  let from = 0;
  for (const hit of hits) {
    if (hasMarker(text.slice(from, hit.start))) return true;
    from = Math.max(from, hit.end);
  }
  return hasMarker(text.slice(from));
}

/** The key that a placeholder stands for, where it may be put in; else the reason why not. */
export function judgePlaceholder(ask: SwapAsk, placeholder: string, spot: Spot): Binding | Denied {
  const binding = ask.bindings.bindings.find((one) => standsFor(one, placeholder));
  if (binding === undefined) return unknown();
  return misuse(ask, binding, spot) ?? binding;
}

function placeOf(ask: SwapAsk, { start, end, tag }: PlaceholderHit, spot: Spot): Place | Denied {
  const binding = judgePlaceholder(ask, tag, spot);
  return 'kind' in binding ? binding : { start, end, binding, spot, used: [binding.env] };
}

function standsFor(binding: Binding, placeholder: string): boolean {
  return binding.placeholder === placeholder || binding.aliases?.includes(placeholder) === true;
}

function misuse(ask: SwapAsk, binding: Binding, spot: Spot): Denied | null {
  if (!binding.allows(ask.at)) {
    return denied(
      'placeholder_wrong_host',
      `The request holds a placeholder that may not go to ${authorityText(ask.at)}.`,
    );
  }
  if (!covers(binding.spec.places, spot)) {
    return denied(
      'placeholder_wrong_place',
      `A placeholder stands in ${nameOf(spot)}, where it is not swapped.`,
    );
  }
  if (!ask.secure) return denied('secret_requires_tls', 'A placeholder is swapped inside verified TLS only.');
  return null;
}

function refusalOf(ask: SwapAsk, hidden: Hidden): Denied {
  if (hidden === 'leak') return leak();
  return hidden === 'coded' ? misplacedCode() : unfit(ask, hidden.tag);
}

/** A placeholder, null where it is none's, in a place that no key is put in. */
function unfit(ask: SwapAsk, placeholder: string | null): Denied {
  const judged = placeholder === null ? unknown() : judgePlaceholder(ask, placeholder, NOWHERE);
  return 'kind' in judged ? judged : unknown();
}

/** The same words whoever's it is: only its marker was seen. */
export function misplacedCode(): Denied {
  return denied('placeholder_wrong_place', 'A placeholder stands in base64 or hex, where it is not swapped.');
}

/** Another identity's and a made-up one get the same words. */
function unknown(): Denied {
  return denied('placeholder_unknown', 'The request holds a placeholder that is not valid here.');
}

export function leak(): Denied {
  return denied('secret_leak', 'The request holds a real key. Send the placeholder instead.');
}

function nameOf(spot: Spot): string {
  switch (spot.kind) {
    case 'path':
      return 'the path';
    case 'query':
      return 'the query';
    case 'basic':
      return 'Basic credentials';
    case 'header':
      return 'a header field';
    case 'websocket':
      return 'a WebSocket message';
    case 'body':
      return 'the body';
    case 'none':
      return 'a place that no key may stand in';
  }
}
