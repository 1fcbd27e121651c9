/**
 * What a request says of its own AWS signature, in `Authorization` or in the query of a presigned URL, read strictly:
 * whatever could be understood in two ways is refused. Says nothing about whether the signature is right; `resign.ts`
 * does. Pure.
 */
import { type Denied, denied, isDenied } from '../flow/reason.ts';
import { ALGORITHM, isS3, type Scope } from './canonical.ts';
import { fieldsOf, type HeadField, onlyField, pairsOf, type QueryPair, splitPath } from './fields.ts';

export type Claim = {
  readonly carrier: 'header' | 'query';
  /** access key id */
  readonly id: string;
  readonly scope: Scope;
  /** X-Amz-Date: YYYYMMDDTHHMMSSZ */
  readonly at: string;
  /** how long a presigned URL is good, seconds */
  readonly expires: number | null;
  /** lower-case, sorted */
  readonly signedHeaders: readonly string[];
  /** 64 hex digits */
  readonly signature: string;
  /** session token */
  readonly token: string | null;
  /** what stands in the place of the body's hash; null: the hash must be taken */
  readonly payload: string | null;
};

export type SignedParts = {
  readonly method: string;
  readonly path: string;
  readonly fields: readonly HeadField[];
  readonly pairs: readonly QueryPair[];
};

export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';
const CREDENTIAL = /^([^/\s,;]{4,128})\/(\d{8})\/([\w-]{1,64})\/([\w.-]{1,64})\/aws4_request$/;
const SIGNED_HEADERS = /^[a-z0-9!#$%&'*+.^_`|~-]+(?:;[a-z0-9!#$%&'*+.^_`|~-]+)*$/;
const SIGNATURE = /^[0-9a-f]{64}$/;
const TIME = /^\d{8}T\d{6}Z$/;
const SECONDS = /^[1-9]\d{0,5}$/;
/** How long a presigned URL may be good at most. */
const MAX_EXPIRES_S = 604_800;
const MAX_SIGNED_HEADERS = 100;
/** Whatever is signed in some version of AWS's way. */
const ANY_SCHEME = /^AWS/i;
const ANY_QUERY = /^(?:AWSAccessKeyId|X-Amz-(?:Algorithm|Credential|Signature))$/i;

const malformed = (what: string): Denied => denied('bad_request', `Malformed AWS signature: ${what}.`);

/** @param head latin-1, request line included. @param path origin-form */
export function partsOf(head: string, method: string, path: string): SignedParts {
  const split = splitPath(path);
  return { method, path: split.path, fields: fieldsOf(head), pairs: pairsOf(split.query) };
}

/** The claim, null where nothing is signed in AWS's way, or `bad_request` or `placeholder_wrong_place`. */
export function readClaim(parts: SignedParts): Claim | Denied | null {
  const auth = onlyField(parts.fields, 'authorization');
  if (auth === undefined) return malformed('Authorization stands there twice');
  const presigned = parts.pairs.some(({ name }) => ANY_QUERY.test(name));
  const signed = auth?.startsWith(`${ALGORITHM} `) === true;
  if (auth !== null && !signed && ANY_SCHEME.test(auth)) return unsupported();
  if (signed && presigned) return malformed('it stands in Authorization and in the query');
  if (signed) return ofHeader(parts, auth.slice(ALGORITHM.length));
  return presigned ? ofQuery(parts) : null;
}

function unsupported(): Denied {
  return denied(
    'placeholder_wrong_place',
    `Only ${ALGORITHM} signatures can be made again: no SigV4a (AWS4-ECDSA-P256-SHA256), no version 2.`,
  );
}

function ofHeader(parts: SignedParts, text: string): Claim | Denied {
  const members = new Map(
    text.split(',').map((member) => {
      const equals = member.indexOf('=');
      return [member.slice(0, equals).trim(), member.slice(equals + 1).trim()];
    }),
  );
  if (members.size !== 3)
    return malformed('Authorization has other members than Credential, SignedHeaders, Signature');
  const at = onlyField(parts.fields, 'x-amz-date');
  const token = onlyField(parts.fields, 'x-amz-security-token');
  const payload = onlyField(parts.fields, 'x-amz-content-sha256');
  if (token === undefined || payload === undefined) return malformed('an X-Amz field stands there twice');
  const get = (name: string): string => members.get(name) ?? '';
  return checked({
    carrier: 'header',
    credential: get('Credential'),
    signedHeaders: get('SignedHeaders'),
    signature: get('Signature'),
    at: at ?? '',
    expires: null,
    token,
    payload,
  });
}

function ofQuery(parts: SignedParts): Claim | Denied {
  const values = new Map<string, string>();
  for (const { name, value } of parts.pairs) {
    if (values.has(name)) {
      if (/^x-amz-/i.test(name)) return malformed(`${name} stands there twice`);
      continue;
    }
    values.set(name, value);
  }
  const get = (name: string): string => values.get(name) ?? '';
  if (get('X-Amz-Algorithm') !== ALGORITHM) return unsupported();
  const header = onlyField(parts.fields, 'x-amz-content-sha256');
  if (header === undefined) return malformed('X-Amz-Content-Sha256 stands there twice');
  if (onlyField(parts.fields, 'x-amz-security-token') !== null)
    return malformed('the session token belongs into the query');
  const claim = checked({
    carrier: 'query',
    credential: get('X-Amz-Credential'),
    signedHeaders: get('X-Amz-SignedHeaders'),
    signature: get('X-Amz-Signature'),
    at: get('X-Amz-Date'),
    expires: get('X-Amz-Expires'),
    token: values.get('X-Amz-Security-Token') ?? null,
    payload: header ?? values.get('X-Amz-Content-Sha256') ?? null,
  });
  if (isDenied(claim) || claim.payload !== null || !isS3(claim.scope.service)) return claim;
  return { ...claim, payload: UNSIGNED_PAYLOAD };
}

type Raw = {
  readonly carrier: Claim['carrier'];
  readonly credential: string;
  readonly signedHeaders: string;
  readonly signature: string;
  readonly at: string;
  readonly expires: string | null;
  readonly token: string | null;
  readonly payload: string | null;
};

function checked(raw: Raw): Claim | Denied {
  const [, id, date, region, service] = CREDENTIAL.exec(raw.credential) ?? [];
  if (id === undefined || date === undefined || region === undefined || service === undefined)
    return malformed('Credential is not ID/DATE/REGION/SERVICE/aws4_request');
  if (!SIGNATURE.test(raw.signature)) return malformed('Signature is not 64 hex digits');
  if (!TIME.test(raw.at)) return malformed('X-Amz-Date is missing or not YYYYMMDDTHHMMSSZ');
  if (!raw.at.startsWith(date)) return malformed('X-Amz-Date is not of the day of the credential');
  const signedHeaders = headerList(raw.signedHeaders);
  if (isDenied(signedHeaders)) return signedHeaders;
  const expires = raw.expires === null ? null : secondsOf(raw.expires);
  if (Number.isNaN(expires)) return malformed('X-Amz-Expires is not 1 to 604800 seconds');
  const { carrier, signature, at, token, payload } = raw;
  return {
    carrier,
    id,
    scope: { date, region, service },
    at,
    expires,
    signedHeaders,
    signature,
    token,
    payload,
  };
}

function headerList(text: string): readonly string[] | Denied {
  const names = text.split(';');
  const sorted = names.every((name, index) => index === 0 || (names[index - 1] ?? '') < name);
  if (!SIGNED_HEADERS.test(text) || !sorted || names.length > MAX_SIGNED_HEADERS)
    return malformed('SignedHeaders is no sorted list of lower-case names');
  if (!names.includes('host')) return malformed('SignedHeaders leaves Host out');
  return names;
}

function secondsOf(text: string): number {
  const seconds = SECONDS.test(text) ? Number(text) : Number.NaN;
  return seconds <= MAX_EXPIRES_S ? seconds : Number.NaN;
}

/** Milliseconds since the epoch; NaN where there is no such moment. @param at YYYYMMDDTHHMMSSZ */
export function momentOf(at: string): number {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(at) ?? [];
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}
