/**
 * Says in which place of a request head a piece of text stands, in the words that a key's `in` uses
 * (contract section 3). Called by `substitute.ts` for every placeholder it found, so not on the hot path.
 */
import type { Place } from '../policy/model.ts';
import type { Spelling } from './spellings.ts';

export type Spot =
  | { readonly kind: 'path' }
  | { readonly kind: 'query'; readonly name: string | null }
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'basic' }
  /** a text message of a WebSocket; `encoded`: the placeholder is percent-encoded there */
  | { readonly kind: 'websocket'; readonly encoded: boolean }
  /** a request's body, or a part of it; `spelling`: how the placeholder is written there */
  | { readonly kind: 'body'; readonly format: 'json' | 'form' | 'text'; readonly spelling: Spelling }
  /** method, version, a field's name, a body of bytes: a key never belongs there */
  | { readonly kind: 'none' };

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));

/** Fields that `in: [header]` does not mean: they reach others than the API, or are logged (contract section 3). */
const NOT_A_HEADER = words(
  'cookie host origin referer user-agent via forwarded x-forwarded x-real-ip x-client-ip x-cluster-client-ip ' +
    'true-client-ip cf-connecting-ip x-original-forwarded-for x-original-host x-envoy-external-address',
);

/** Fields that frame or route the message: not even `in: [header:NAME]` swaps there. */
const NEVER = words(
  'host content-length transfer-encoding connection keep-alive te trailer upgrade expect proxy-connection ' +
    'proxy-authorization',
);

/** Where `head.slice(start, end)` stands. `head`: request line and fields, lines ended by CRLF. */
export function spotOf(head: string, start: number, end: number): Spot {
  const lineStart = start === 0 ? 0 : startOfLine(head, start);
  const lineEnd = endOfLine(head, start);
  if (end > lineEnd) return NOWHERE;
  if (lineStart === 0) return spotOfTarget(head, start, end, lineEnd);
  const colon = head.indexOf(':', lineStart);
  if (colon === -1 || colon >= start) return NOWHERE;
  return { kind: 'header', name: head.slice(lineStart, colon).toLowerCase() };
}

const NOWHERE: Spot = { kind: 'none' };

function startOfLine(head: string, from: number): number {
  const end = head.lastIndexOf('\r\n', from - 1);
  return end === -1 ? 0 : end + 2;
}

function endOfLine(head: string, from: number): number {
  const end = head.indexOf('\r\n', from);
  return end === -1 ? head.length : end;
}

function spotOfTarget(head: string, start: number, end: number, lineEnd: number): Spot {
  const target = head.indexOf(' ') + 1;
  const targetEnd = head.lastIndexOf(' ', lineEnd - 1);
  if (target === 0 || start < target || end > targetEnd) return NOWHERE;
  const path = startOfPath(head, target, targetEnd);
  if (path === -1 || start < path) return NOWHERE;
  const query = head.indexOf('?', path);
  if (query === -1 || query >= end) return { kind: 'path' };
  // Some readers take a semicolon for an ampersand: the name is the nearest one.
  const pair = Math.max(query, head.lastIndexOf('&', start - 1), head.lastIndexOf(';', start - 1)) + 1;
  const equals = head.indexOf('=', pair);
  return { kind: 'query', name: equals === -1 || equals >= start ? null : head.slice(pair, equals) };
}

/** Origin-form begins with its path; absolute-form (RFC 9112 section 3.2.2) has it after the authority. */
function startOfPath(head: string, target: number, targetEnd: number): number {
  if (head.startsWith('/', target)) return target;
  const scheme = head.indexOf('://', target);
  if (scheme === -1 || scheme > targetEnd) return -1;
  const path = head.indexOf('/', scheme + 3);
  return path > targetEnd ? -1 : path;
}

/** Does one of a key's places cover the spot. */
export function covers(places: readonly Place[], spot: Spot): boolean {
  switch (spot.kind) {
    case 'path':
    case 'basic':
    case 'websocket':
    case 'body':
      return places.some((place) => place.kind === spot.kind);
    case 'query':
      return places.some(
        (place) => place.kind === 'query' && (place.name === undefined || place.name === spot.name),
      );
    case 'header': {
      const { name } = spot;
      return !NEVER.has(asRead(name)) && places.some((place) => coversHeader(place, name));
    }
    case 'none':
      return false;
  }
}

function coversHeader(place: Place, name: string): boolean {
  if (place.kind !== 'header') return false;
  if (place.name !== undefined) return place.name.toLowerCase() === name;
  const read = asRead(name);
  return !NOT_A_HEADER.has(read) && !read.startsWith('x-forwarded-');
}

/** CGI and its heirs know no dashes (RFC 3875 section 4.1.18): there `User_Agent` is User-Agent. */
function asRead(name: string): string {
  return name.replaceAll('_', '-');
}
