/**
 * The text that an AWS signature is made over: "Create a signed AWS API request" in the IAM user guide, and "Signature
 * calculations" in the S3 API reference. Strings are latin-1, one character per byte. Pure; used by `resign.ts`.
 */
import { type HeadField, type QueryPair, uriDecode, uriEncode } from './fields.ts';

export const ALGORITHM = 'AWS4-HMAC-SHA256';

/** What the scope of a signature says after the key's id. */
export type Scope = {
  /** YYYYMMDD */
  readonly date: string;
  readonly region: string;
  readonly service: string;
};

export type CanonicalAsk = {
  readonly method: string;
  /** one of `pathForms` */
  readonly path: string;
  /** of `canonicalQuery` */
  readonly query: string;
  readonly fields: readonly HeadField[];
  readonly signedHeaders: readonly string[];
  /** the body's SHA-256, or the word that stands for it */
  readonly payload: string;
};

export function scopeText({ date, region, service }: Scope): string {
  return `${date}/${region}/${service}/aws4_request`;
}

export function canonicalRequest(ask: CanonicalAsk): string {
  const { method, path, query, fields, signedHeaders, payload } = ask;
  const lines = signedHeaders.map((name) => `${name}:${canonicalValue(fields, name)}\n`).join('');
  return `${method}\n${path}\n${query}\n${lines}\n${signedHeaders.join(';')}\n${payload}`;
}

/** @param requestHash SHA-256 of the canonical request, hex */
export function stringToSign(at: string, scope: Scope, requestHash: string): string {
  return `${ALGORITHM}\n${at}\n${scopeText(scope)}\n${requestHash}`;
}

function canonicalValue(fields: readonly HeadField[], name: string): string {
  return fields
    .filter((field) => field.name === name)
    .map(({ value }) => value.replace(/[ \t]+/g, ' '))
    .join(',');
}

/** Sorted by name, then by value; the signature itself is left out. */
export function canonicalQuery(pairs: readonly QueryPair[]): string {
  return pairs
    .filter(({ name }) => name !== 'X-Amz-Signature')
    .map(({ name, value }) => ({ name: uriEncode(name), value: uriEncode(value) }))
    .sort((a, b) => compare(a.name, b.name) || compare(a.value, b.value))
    .map(({ name, value }) => `${name}=${value}`)
    .join('&');
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** S3 and what speaks its protocol take the path as it is: an object's name may hold `//` and `..`. */
export function isS3(service: string): boolean {
  return service === 's3' || service.startsWith('s3-');
}

/**
 * How clients may have written this path for their signature. S3: encoded once; others: dot segments and empty ones
 * removed, then encoded once more. Which of the forms it was shows when one of them verifies. The path that is sent is
 * never changed.
 */
export function pathForms(path: string, service: string): readonly string[] {
  return isS3(service)
    ? [path, encodePath(uriDecode(path))]
    : [encodePath(normalPath(path)), encodePath(path)];
}

function encodePath(path: string): string {
  return path.split('/').map(uriEncode).join('/');
}

function normalPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(segment);
  }
  return `/${kept.join('/')}${kept.length > 0 && path.endsWith('/') ? '/' : ''}`;
}
