/**
 * The value of `Proxy-Authorization` -> Credential. Pure; called by `accept/` once per request and by the
 * SOCKS5 side for its password. RFC 7617 (Basic) and RFC 6750 (Bearer), both read strictly: what is not
 * exactly one of them is `malformed`, and a malformed credential identifies nobody (never "no credential").
 */
import { Buffer } from 'node:buffer';
import type { Credential } from '../flow/identity.ts';

/** Far above any token that we issue (70 characters) with a label beside it. */
const MAX_CREDENTIAL_CHARS = 2048;

/** Scheme, exactly one run of spaces, one token68 (RFC 9110 section 11.2): no parameters, no lists. */
const SCHEME_AND_VALUE = /^(basic|bearer) +([A-Za-z0-9\-._~+/]+={0,2})$/i;

/** Printable ASCII without blanks. */
const TOKEN = /^[\x21-\x7e]+$/;

const MALFORMED: Credential = { kind: 'malformed' };
const NONE: Credential = { kind: 'none' };

/**
 * `value` is the field's value without surrounding blanks, or null when the field is absent. Basic: the
 * password is the token and the user part a free label. Several fields are refused by the caller.
 */
export function parseProxyAuthorization(value: string | null): Credential {
  if (value === null) return NONE;
  if (value.length > MAX_CREDENTIAL_CHARS) return MALFORMED;
  const [, scheme, text] = SCHEME_AND_VALUE.exec(value) ?? [];
  if (scheme === undefined || text === undefined) return MALFORMED;
  if (scheme.toLowerCase() === 'bearer') return { kind: 'token', token: text };
  return parseBasic(text);
}

/**
 * The password of a SOCKS5 login (RFC 1929), latin-1. An empty one is no credential: clients that always log in send it
 * where they have none.
 */
export function parseSocksPassword(password: string): Credential {
  if (password === '') return NONE;
  return TOKEN.test(password) ? { kind: 'token', token: password } : MALFORMED;
}

function parseBasic(text: string): Credential {
  const bytes = Buffer.from(text, 'base64');
  // Node's decoder skips what it does not know and takes the URL alphabet; only the canonical spelling counts.
  if (bytes.toString('base64') !== text) return MALFORMED;
  const plain = bytes.toString('latin1');
  const colon = plain.indexOf(':');
  if (colon === -1) return MALFORMED;
  const token = plain.slice(colon + 1);
  // RFC 7617 section 2: no control characters.
  if (!TOKEN.test(token) || /[\x00-\x1f\x7f]/.test(plain)) return MALFORMED;
  return { kind: 'token', token };
}
