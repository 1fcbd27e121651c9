/**
 * The head of a request whose body was written anew, as `http1-write.ts` printed it: framing and encoding say what the
 * body is now. Called by `intercept/swapped-body.ts`.
 */

const LENGTH_LINE = /\r\nContent-Length: \d+/;
/** What says how the body was encoded or what its bytes summed up to (RFC 9530, RFC 1864). */
const ENCODING_LINES = /\r\n(?:content-encoding|content-md5|digest|content-digest|repr-digest):[^\r\n]*/gi;

/** `length`: of the body; null: chunked. `plain`: the body is not in the encoding any more that its head tells. */
export function reframe(
  head: string,
  to: { readonly length: number | null; readonly plain: boolean },
): string {
  const line = to.length === null ? '\r\nTransfer-Encoding: chunked' : `\r\nContent-Length: ${to.length}`;
  const framed = head.replace(LENGTH_LINE, line);
  return to.plain ? framed.replace(ENCODING_LINES, '') : framed;
}

/** The same for fields of a response, by lower-case name. */
export function tellsEncoding(name: string): boolean {
  return ENCODING_FIELDS.has(name);
}

const ENCODING_FIELDS: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
]);
