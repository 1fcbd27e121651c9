/**
 * Path patterns and the canonical form of a request path (contract sections 3 and 11). A path rule judges
 * the path as it will be sent; what two servers could read in two ways is refused as `ambiguous_path`, so
 * that the judged path and the served path cannot differ. Segments are compared after decoding escapes once
 * (`/%61dmin` must not slip past a rule for `/admin`); `%2F` stays an escape and never separates.
 */
import { Buffer } from 'node:buffer';
import { type Denied, denied } from '../flow/reason.ts';

export type PathPattern = {
  readonly text: string;
  /** decoded; `ONE` and `MANY` for `*` and `**` */
  readonly segments: readonly (string | typeof ONE | typeof MANY)[];
};

export type CanonicalPath = {
  /** decoded once, but for `%2F`; the last one is empty after a trailing slash */
  readonly segments: readonly string[];
};

export type PathPatternFault = { readonly message: string; readonly fix: string };

const SLASH = 0x2f;
const ONE = 1;
const MANY = 2;

/** What needs a closer look: an escape or odd character, a segment that begins with a dot or is empty. */
const SUSPECT = /[^A-Za-z0-9_~!$&'()*+,;=:@./-]|\/[./]/;
const MALFORMED_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
/** NUL and backslash; dots, slashes, backslashes and NUL that a second decoding would bring out */
const FORBIDDEN = /\\|%5c|%00|%(?:25)+(?:2e|2f|5c|00)/i;
/** UTF-8 sequences longer than needed, which lenient decoders turn into dots and slashes (RFC 3629 section 3) */
const OVERLONG = /%c[01]|%e0%[89]|%f0%8|%f[89a-f]/i;
const DOT_SEGMENT = /^\.{1,2}(?:;|$)/;

/** Parses one pattern of `paths:`: absolute, `*` for one whole segment, `**` for any number. */
export function parsePathPattern(text: string): PathPattern | PathPatternFault {
  if (!text.startsWith('/')) {
    const path = text.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '');
    return { message: `"${text}" is not absolute`, fix: `write "${path.startsWith('/') ? '' : '/'}${path}"` };
  }
  if (/[?#]/.test(text)) {
    return {
      message: `"${text}" holds a query or fragment; rules judge the path alone`,
      fix: `write "${text.replace(/[?#].*$/s, '')}"`,
    };
  }
  if (/[^\u0021-\u007e]/.test(text)) {
    return {
      message: `"${text}" holds white space or non-ASCII`,
      fix: `write "${encodeURI(wellFormed(text))}"`,
    };
  }
  const path = canonicalPath(text);
  if ('kind' in path) {
    return {
      message: `"${text}" could be read in two ways (${path.detail ?? ''})`,
      fix: 'write it without dot or empty segments, backslashes and doubtful escapes',
    };
  }
  const written = text.slice(1).split('/');
  const partial = written.find((segment) => segment.includes('*') && segment !== '*' && segment !== '**');
  if (partial !== undefined) {
    return { message: `"${text}": \`*\` stands for a whole segment`, fix: `write "*" for "${partial}"` };
  }
  const segments = path.segments.map((segment, at) => star(written[at]) ?? segment);
  return { text, segments };
}

/**
 * The path of an origin-form target, query left aside, in the form that patterns are matched against, or
 * `ambiguous_path`.
 */
export function canonicalPath(target: string): CanonicalPath | Denied {
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  if (path.charCodeAt(0) === SLASH && !SUSPECT.test(path)) return { segments: path.slice(1).split('/') };
  const wrong = doubt(path);
  if (wrong !== null) return denied('ambiguous_path', wrong);
  const segments = path.slice(1).split('/').map(decodeSegment);
  if (segments.slice(0, -1).includes('')) return denied('ambiguous_path', 'The path has an empty segment.');
  const dotted = segments.some((segment) => segment.split('%2F').some((part) => DOT_SEGMENT.test(part)));
  return dotted ? denied('ambiguous_path', 'The path has a dot segment.') : { segments };
}

/** Does the pattern cover the whole path? `**` covers no segment, too: `/v1/**` covers `/v1`. */
export function matchesPath(pattern: PathPattern, path: CanonicalPath): boolean {
  const want = pattern.segments;
  const have = path.segments;
  let at = 0;
  let from = 0;
  // Where the last `**` stands and how much it has taken: one place to come back to keeps this linear enough
  let many = -1;
  let taken = 0;
  while (from < have.length) {
    const part = want[at];
    if (part === MANY) {
      many = at;
      taken = from;
      at += 1;
    } else if (part !== undefined && (part === ONE ? have[from] !== '' : part === have[from])) {
      at += 1;
      from += 1;
    } else if (many >= 0) {
      taken += 1;
      at = many + 1;
      from = taken;
    } else {
      return false;
    }
  }
  while (want[at] === MANY) at += 1;
  return at === want.length;
}

function star(written: string | undefined): typeof ONE | typeof MANY | null {
  if (written === '*') return ONE;
  return written === '**' ? MANY : null;
}

function wellFormed(text: string): string {
  return text.toWellFormed();
}

function doubt(path: string): string | null {
  if (!path.startsWith('/')) return 'The path is not absolute.';
  if (MALFORMED_ESCAPE.test(path)) return 'The path has a malformed escape.';
  if (FORBIDDEN.test(path)) return 'The path has a backslash, NUL or doubly encoded separator.';
  return OVERLONG.test(path) ? 'The path has an overlong encoding.' : null;
}

/** Escapes become the bytes they stand for, as latin-1 text; `%2F` stays, in upper case. */
function decodeSegment(segment: string): string {
  if (!segment.includes('%')) return segment;
  return segment.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    hex.toLowerCase() === '2f' ? '%2F' : Buffer.from(hex, 'hex').toString('latin1'),
  );
}
