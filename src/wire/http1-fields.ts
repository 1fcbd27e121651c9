/**
 * The shared half of the HTTP/1 head parsers: limits, the scan for the fields that matter, framing and
 * connection options (RFC 9112 sections 5, 6 and 9). Called by `http1-parse.ts` and `http1-reader.ts`.
 * A complaint is text: the caller knows whether it is the client's or the upstream's fault.
 */
import { type ConnectionOptions, NO_OPTIONS, parseConnection, trimOws } from './hop.ts';

export type HeadLimits = {
  /** bytes of one head, the empty line included */
  readonly maxHeadBytes: number;
  readonly maxFields: number;
  /** bytes of the start line or of one field line */
  readonly maxLine: number;
  /** bytes of the trailer section of a chunked body */
  readonly maxTrailerBytes: number;
  /** bytes of one chunk extension */
  readonly maxChunkExtension: number;
  /** bytes of all chunk extensions of a body */
  readonly maxChunkExtensions: number;
  /** interim (1xx) responses before one final response */
  readonly maxInterim: number;
};

export const HEAD_LIMITS: HeadLimits = {
  maxHeadBytes: 32_768,
  maxFields: 128,
  maxLine: 16_384,
  maxTrailerBytes: 8_192,
  maxChunkExtension: 1_024,
  maxChunkExtensions: 16_384,
  maxInterim: 8,
};

/** For whoever sent a larger one. */
export const HEAD_BOUNDS = `A head has ${HEAD_LIMITS.maxHeadBytes} bytes, ${HEAD_LIMITS.maxFields} fields and ${HEAD_LIMITS.maxLine} bytes a line at most.`;

/** One field whose meaning matters to a proxy. */
export type Field = {
  /** lower-case */
  readonly name: string;
  /** without the white space around it */
  readonly value: string;
  /** offset of the line's leading CRLF in the head's text */
  readonly start: number;
  /** offset behind the line's last byte */
  readonly end: number;
};

export type RequestFraming =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' };

/** What the special fields of a head say together. */
export type HeadFacts = {
  readonly special: readonly Field[];
  /** null: neither Content-Length nor Transfer-Encoding */
  readonly framing: RequestFraming | null;
  readonly connection: ConnectionOptions;
  readonly host: string | null;
  readonly expect: string | null;
  readonly upgrade: string | null;
};

/** Of a message that holds one of these twice nobody knows which counts. */
const SINGLE: readonly string[] = ['host', 'content-length', 'transfer-encoding', 'expect', 'upgrade'];
const CONNECTION = 'connection';
/** Names of fields that matter to a proxy; so does everything `proxy-*`. */
const SPECIAL = SINGLE.concat(
  [CONNECTION, 'keep-alive', 'http2-settings', 'te', 'trailer', 'alt-svc'],
  ['x-http-method', 'x-http-method-override', 'x-method-override', 'x-original-url', 'x-rewrite-url'],
);
const PROXY = 'proxy-';
/** By length: nearly every other field is told from these by its length and first letter. */
const BY_LENGTH: readonly (readonly string[])[] = Array.from({ length: 24 }, (_, length) =>
  SPECIAL.filter((name) => name.length === length),
);
// 16 digits hold every safe integer; more would only be zeros or an overflow.
const DIGITS = /^[0-9]{1,16}$/;
const CHUNKED: RequestFraming = { kind: 'chunked' };

/** Field lines, each with its leading CRLF. Bytes: RFC 9110 section 5.5, without control bytes. */
export const FIELD_LINES = /^(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*)*$/;

/**
 * @param text a head whose bytes a regular expression has passed already
 * @returns true when it holds too many fields or too long a line
 */
export function exceeds(text: string, fieldsAt: number, limits: HeadLimits): boolean {
  // The shortest field line is `CRLF a :`, so a short head needs no count.
  const mayHaveTooMany = text.length - fieldsAt > limits.maxFields * 4;
  if (!mayHaveTooMany && text.length <= limits.maxLine) return false;
  if (fieldsAt > limits.maxLine) return true;
  let fields = 0;
  let at = fieldsAt;
  while (at < text.length) {
    const next = text.indexOf('\r\n', at + 2);
    const end = next < 0 ? text.length : next;
    if (end - at - 2 > limits.maxLine) return true;
    if (++fields > limits.maxFields) return true;
    at = end;
  }
  return false;
}

/**
 * Reads the special fields of a validated head.
 * @param minor HTTP/1.0 has no transfer codings
 * @returns the complaint as text where framing or routing is in any doubt
 */
export function readFields(text: string, fieldsAt: number, minor: 0 | 1): HeadFacts | string {
  const special = findSpecial(text, fieldsAt);
  const values = gather(special);
  if (typeof values === 'string') return values;
  const [host = null, length = null, coding = null, expect = null, upgrade = null, listed = null] = values;
  const framing = readFraming(length, coding, minor);
  if (typeof framing === 'string') return framing;
  const connection = listed === null ? NO_OPTIONS : parseConnection(listed);
  if (connection === null) return 'malformed Connection';
  return { special, framing, connection, host, expect, upgrade };
}

/** Values in the order of `SINGLE`, then those of Connection, joined. */
function gather(special: readonly Field[]): readonly (string | null)[] | string {
  const values: (string | null)[] = [null, null, null, null, null, null];
  for (const { name, value } of special) {
    const isList = name === CONNECTION;
    const at = isList ? SINGLE.length : SINGLE.indexOf(name);
    if (at === -1) continue;
    const before = values[at];
    // Equal copies might be folded (RFC 9112 section 6.3); refused: no honest client sends them.
    if (before !== null && !isList) return `more than one ${name}`;
    values[at] = before === null ? value : `${before},${value}`;
  }
  return values;
}

/** Line by line: a head that was validated has a colon in each, and CR before LF alone. */
function findSpecial(text: string, fieldsAt: number): Field[] {
  const special: Field[] = [];
  for (let start = fieldsAt; start < text.length; ) {
    const colon = text.indexOf(':', start);
    const next = text.indexOf('\r', start + 2);
    const end = next === -1 ? text.length : next;
    const name = specialName(text, start + 2, colon);
    if (name !== null) special.push({ name, value: trimOws(text.slice(colon + 1, end)), start, end });
    start = end;
  }
  return special;
}

/** The name in lower case, if it is a special one. */
function specialName(text: string, from: number, to: number): string | null {
  const first = text.charCodeAt(from) | LOWER;
  const candidates = BY_LENGTH[to - from];
  if (candidates !== undefined) {
    for (const name of candidates) {
      if (name.charCodeAt(0) === first && isSpelt(text, from, name)) return name;
    }
  }
  const isProxy = to - from >= PROXY.length && isSpelt(text, from, PROXY);
  return isProxy ? text.slice(from, to).toLowerCase() : null;
}

/** Among the characters of field names, this bit makes letters lower-case, and nothing else a letter. */
const LOWER = 0x20;

/** An underscore with that bit, which stands for nothing else in a name. */
const UNDERSCORE = 0x7f;
const DASH = 0x2d;
const LETTER_X = 0x78;

/** `name`: of lower-case letters, digits and dashes. Those that override a method or path are known with underscores, too. */
function isSpelt(text: string, from: number, name: string): boolean {
  for (let at = 0; at < name.length; at += 1) {
    const code = text.charCodeAt(from + at) | LOWER;
    const wanted = name.charCodeAt(at);
    if (code === wanted) continue;
    if (code !== UNDERSCORE || wanted !== DASH || name.charCodeAt(0) !== LETTER_X) return false;
  }
  return true;
}

/** RFC 9112 section 6.3, where every case that a recipient MAY repair is refused. */
function readFraming(
  length: string | null,
  coding: string | null,
  minor: 0 | 1,
): RequestFraming | null | string {
  if (coding !== null) {
    if (length !== null) return 'both Content-Length and Transfer-Encoding';
    if (minor === 0) return 'Transfer-Encoding in HTTP/1.0';
    return coding.toLowerCase() === 'chunked' ? CHUNKED : 'unknown Transfer-Encoding';
  }
  if (length === null) return null;
  const value = Number(length);
  if (!DIGITS.test(length) || !Number.isSafeInteger(value)) return 'malformed Content-Length';
  return { kind: 'length', length: value };
}
