/**
 * How a body writes text, by its media type: decides how a key must be written there, and where none may stand.
 * Called by `body-swap.ts` for a request's body and by `multipart-swap.ts` for each part.
 */

import { isForeign } from './charset.ts';

/**
 * `json`: in strings; `form`: percent-encoded; `text`: as it is; `opaque`: lengths and sums may depend on every byte, or
 * characters are not bytes, so nothing is put in.
 */
export type BodyFormat = 'json' | 'form' | 'text' | 'opaque';

export type BodyType =
  | { readonly kind: 'single'; readonly format: BodyFormat }
  | { readonly kind: 'multipart'; readonly boundary: string };

const JSON_TYPES =
  /^(?:(?:application|text)\/(?:json|x-json|ndjson|x-ndjson|jsonl|x-jsonlines|json-seq)|[^;]+\+json)$/;
const FORM_TYPE = 'application/x-www-form-urlencoded';
const OPAQUE_TYPES =
  /^(?:(?:image|audio|video|font)\/(?!svg\+xml)|application\/(?:octet-stream|zip|gzip|x-gzip|x-tar|zstd|pdf|wasm|grpc|(?:x-|vnd\.google\.)?protobuf|(?:x-|vnd\.)?msgpack|cbor|vnd\.apache\.(?:parquet|arrow)))|\+(?:proto|cbor|zip|gzip)$/;
/** RFC 2046 section 5.1.1; a space at its end is not allowed there either. */
const BOUNDARY =
  /;\s*boundary\s*=\s*(?:"([0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?])"|([0-9A-Za-z'+_\-.]{1,70}))\s*(?:;|$)/i;

/** `values`: those of Content-Type; without one the body is text, and who knows which of two counts. */
export function bodyTypeOf(values: readonly string[]): BodyType {
  const [contentType] = values;
  if (contentType === undefined) return single('text');
  if (values.length > 1) return single('opaque');
  const essence = (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
  if (essence.startsWith('multipart/')) {
    const found = BOUNDARY.exec(contentType);
    const boundary = found?.[1] ?? found?.[2];
    return boundary === undefined ? single('opaque') : { kind: 'multipart', boundary };
  }
  if (isForeign(contentType) || OPAQUE_TYPES.test(essence)) return single('opaque');
  if (JSON_TYPES.test(essence)) return single('json');
  return single(essence === FORM_TYPE ? 'form' : 'text');
}

/** The values of a field among header lines (latin-1, each behind a CRLF). @param name lower-case */
export function valuesOf(lines: string, name: string): readonly string[] {
  return lines.split('\r\n').flatMap((line) => {
    const colon = line.indexOf(':');
    const isOne = colon !== -1 && line.slice(0, colon).trim().toLowerCase() === name;
    return isOne ? [line.slice(colon + 1).trim()] : [];
  });
}

function single(format: BodyFormat): BodyType {
  return { kind: 'single', format };
}
