/**
 * The parts of a request head that a signature covers: fields, path and query, as latin-1 text with one character per
 * byte, and the percent-encoding that AWS writes them in ("UriEncode"). Used by the other files of this folder.
 */

export type HeadField = {
  /** lower-case */
  readonly name: string;
  /** without the white space around it */
  readonly value: string;
};

/** A pair of the query, names and values with their percent-encoding undone. */
export type QueryPair = { readonly name: string; readonly value: string };

/** The field lines of a head, which may have its request line and its final empty line or not. */
export function fieldsOf(head: string): readonly HeadField[] {
  const lines = head.split('\r\n').slice(1);
  return lines.flatMap((line) => {
    const colon = line.indexOf(':');
    if (colon < 1) return [];
    return [{ name: line.slice(0, colon).toLowerCase(), value: line.slice(colon + 1).trim() }];
  });
}

/** The only field of that name, null where there is none; undefined of several: who knows which a reader takes. */
export function onlyField(fields: readonly HeadField[], name: string): string | null | undefined {
  const [first, second] = fields.filter((field) => field.name === name);
  if (second !== undefined) return undefined;
  return first?.value ?? null;
}

export function splitPath(path: string): { readonly path: string; readonly query: string } {
  const mark = path.indexOf('?');
  return mark === -1 ? { path, query: '' } : { path: path.slice(0, mark), query: path.slice(mark + 1) };
}

export function pairsOf(query: string): readonly QueryPair[] {
  return query.split('&').flatMap((text) => {
    if (text === '') return [];
    const equals = text.indexOf('=');
    const [name, value] = equals === -1 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
    return [{ name: uriDecode(name), value: uriDecode(value) }];
  });
}

/** All but unreserved characters (RFC 3986 section 2.3) as `%XX`. */
export function uriEncode(text: string): string {
  return text.replace(
    /[^A-Za-z0-9\-._~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

/** What is no `%XX` stays as it is. */
export function uriDecode(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}
