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

const SPECIAL =
  /\r\n(host|content-length|transfer-encoding|connection|keep-alive|proxy-[^:]*|upgrade|http2-settings|expect|te|trailer|alt-svc|x-(?:http-method(?:-override)?|method-override|original-url|rewrite-url)):([^\r]*)/gi;
const SINGLE: ReadonlySet<string> = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'expect',
  'upgrade',
]);
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
  const single = gather(special);
  if (typeof single === 'string') return single;
  const framing = readFraming(
    single.get('content-length') ?? null,
    single.get('transfer-encoding') ?? null,
    minor,
  );
  if (typeof framing === 'string') return framing;
  const listed = single.get('connection');
  const connection = listed === undefined ? NO_OPTIONS : parseConnection(listed);
  if (connection === null) return 'malformed Connection';
  return {
    special,
    framing,
    connection,
    host: single.get('host') ?? null,
    expect: single.get('expect') ?? null,
    upgrade: single.get('upgrade') ?? null,
  };
}

/** Values by name: of Connection joined, of the others the only one. */
function gather(special: readonly Field[]): Map<string, string> | string {
  const values = new Map<string, string>();
  for (const { name, value } of special) {
    const before = values.get(name);
    if (name === 'connection') {
      values.set(name, before === undefined ? value : `${before},${value}`);
    } else if (SINGLE.has(name)) {
      // Equal copies might be folded (RFC 9112 section 6.3); refused: no honest client sends them.
      if (before !== undefined) return `more than one ${name}`;
      values.set(name, value);
    }
  }
  return values;
}

function findSpecial(text: string, fieldsAt: number): Field[] {
  const special: Field[] = [];
  SPECIAL.lastIndex = fieldsAt;
  for (let m = SPECIAL.exec(text); m !== null; m = SPECIAL.exec(text)) {
    const [, name = '', value = ''] = m;
    special.push({
      name: name.toLowerCase(),
      value: trimOws(value),
      start: m.index,
      end: SPECIAL.lastIndex,
    });
  }
  return special;
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
