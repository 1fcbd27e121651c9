/**
 * What of a request's own words may stand in the record (invariant I5). Query values never: they carry
 * tokens, search words and signed links. User names and passwords of an absolute URL never. Control and
 * non-ASCII characters are left to the JSON escapes of `chain.ts`. Called for every record.
 */
import type { Reason } from '../flow/reason.ts';

/** Longest text of one field, in UTF-16 units, before escapes. */
export const MAX_FIELD_CHARS = 2048;

const ELLIPSIS = '…';
const USERINFO = /^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i;

/**
 * A request target as it may be written: path kept, query and fragment reduced to `?…`, user information
 * reduced to `…@`, at most MAX_FIELD_CHARS. Where a real key was found in the request it may have stood in
 * the path, so nothing of the path is kept.
 */
export function redactPath(path: string, reason: Reason | null): string {
  if (reason === 'secret_leak') return `/${ELLIPSIS}`;
  let kept = path;
  const cut = firstOf(path);
  if (cut !== -1) kept = cut === path.length - 1 ? path : `${path.slice(0, cut)}?${ELLIPSIS}`;
  if (!kept.startsWith('/') && kept.includes('@')) kept = kept.replace(USERINFO, `$1${ELLIPSIS}@`);
  return capField(kept);
}

/** Text of at most MAX_FIELD_CHARS; a shortened one ends in `…`. */
export function capField(text: string): string {
  return text.length <= MAX_FIELD_CHARS ? text : `${text.slice(0, MAX_FIELD_CHARS - 1)}${ELLIPSIS}`;
}

function firstOf(path: string): number {
  const query = path.indexOf('?');
  const fragment = path.indexOf('#');
  if (query === -1) return fragment;
  return fragment === -1 ? query : Math.min(query, fragment);
}
